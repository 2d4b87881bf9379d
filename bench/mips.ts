// Guest instructions per second of the interpreter, with both translation stages on (Sv39 under Sv39x4, 4 KiB pages).
// usage: node scripts/run.mjs bench/mips.ts

import { RAM, TestMachine } from '../core/engine/testing/machine.ts'
import { mapSv39 } from '../core/engine/testing/paging.ts'
import { Pte } from '../core/riscv/pagetable.ts'

const DATA = RAM + 0x10000

/** Programs that end in ecall; a0 is their number of rounds. */
const workloads: Record<string, { rounds: number; source: string }> = {
  // Xorshift and a sum: arithmetic and one branch.
  integer: {
    rounds: 20_000_000,
    source: `
      li t0, 88172645463325252
    loop:
      slli t1, t0, 13
      xor t0, t0, t1
      srli t1, t0, 7
      xor t0, t0, t1
      slli t1, t0, 17
      xor t0, t0, t1
      add a1, a1, t0
      addi a0, a0, -1
      bnez a0, loop
      ecall`,
  },
  // Sieve of 64 Ki bytes: byte stores in short loops.
  sieve: {
    rounds: 60,
    source: `
      li s0, ${DATA}
      li s1, 65536
    round:
      mv t0, zero
    clear:
      add t1, s0, t0
      sd zero, 0(t1)
      addi t0, t0, 8
      bltu t0, s1, clear
      li t0, 2
    next:
      add t1, s0, t0
      lbu t2, 0(t1)
      bnez t2, composite
      add t3, t0, t0
      bgeu t3, s1, composite
      li t4, 1
    mark:
      add t1, s0, t3
      sb t4, 0(t1)
      add t3, t3, t0
      bltu t3, s1, mark
    composite:
      addi t0, t0, 1
      bltu t0, s1, next
      addi a0, a0, -1
      bnez a0, round
      ecall`,
  },
  // Copies 32 KiB a round, eight bytes at a time.
  copy: {
    rounds: 6000,
    source: `
      li s0, ${DATA}
    round:
      mv t0, s0
      li t1, 32768
      add t1, t1, s0
      mv t2, t1
    copy:
      ld t3, 0(t0)
      sd t3, 0(t2)
      addi t0, t0, 8
      addi t2, t2, 8
      bltu t0, t1, copy
      addi a0, a0, -1
      bnez a0, round
      ecall`,
  },
  // Recursive Fibonacci: calls, returns and the stack.
  calls: {
    rounds: 30,
    source: `
      li sp, ${DATA + 0x10000}
      jal ra, fib
      ecall
    fib:
      li t0, 2
      bltu a0, t0, leaf
      addi sp, sp, -32
      sd ra, 0(sp)
      sd s0, 8(sp)
      mv s0, a0
      addi a0, a0, -1
      jal ra, fib
      sd a0, 16(sp)
      addi a0, s0, -2
      jal ra, fib
      ld t0, 16(sp)
      add a0, a0, t0
      ld ra, 0(sp)
      ld s0, 8(sp)
      addi sp, sp, 32
      ret
    leaf:
      ret`,
  },
}

/** Millions of instructions per second of a workload: the median of five runs after one to warm up. */
function measure(name: string): number {
  const { rounds, source } = workloads[name]
  const machine = new TestMachine()
  mapSv39(machine, Pte.R | Pte.W | Pte.X | Pte.A | Pte.D)
  const rates = Array.from({ length: 6 }, () => {
    machine.setX(10, BigInt(rounds))
    const before = machine.get('INSTRET')
    const start = performance.now()
    machine.run(source)
    return Number(machine.get('INSTRET') - before) / (performance.now() - start) / 1000
  })
  return rates.slice(1).toSorted((a, b) => a - b)[2]
}

for (const name of Object.keys(workloads)) console.log(`${name.padEnd(8)} ${measure(name).toFixed(0)} MIPS`)
