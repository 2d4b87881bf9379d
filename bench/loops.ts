// Guest loops on the bare engine, without hypervisor or devices: both translation stages on (Sv39 under
// Sv39x4, 4 KiB pages).

import { RAM, TestMachine } from '../core/engine/testing/machine.ts'
import { mapSv39 } from '../core/engine/testing/paging.ts'
import { Pte } from '../core/riscv/pagetable.ts'

const DATA = RAM + 0x10000

interface Loop {
  /** a0 at the start, for some hundred milliseconds of work. */
  readonly rounds: number
  /** The same for a run that only warms up. */
  readonly warm: number
  readonly source: string
}

/** Programs that end in ecall; a0 is their number of rounds. */
const programs = {
  // Xorshift and a sum: arithmetic and one branch.
  integer: {
    rounds: 10_000_000,
    warm: 400_000,
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
  // Sieve of 64 Ki bytes: byte loads and stores in short loops.
  sieve: {
    rounds: 60,
    warm: 4,
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
    rounds: 4000,
    warm: 200,
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
    rounds: 29,
    warm: 22,
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
} satisfies Record<string, Loop>

export type LoopName = keyof typeof programs
export const loopNames = Object.keys(programs) as readonly LoopName[]

const WARM_RUNS = 12
/** Time for the JavaScript engine's background compiler, in milliseconds. */
const SETTLE_MS = 20

const machines = new Map<LoopName, TestMachine>()

const run = (machine: TestMachine, rounds: number, source: string): number => {
  machine.setX(10, BigInt(rounds))
  const before = machine.get('INSTRET')
  const start = performance.now()
  machine.run(source)
  return Number(machine.get('INSTRET') - before) / (performance.now() - start) / 1000
}

/** Millions of guest instructions per second of one warm run. */
export const loopMips = async (name: LoopName): Promise<number> => {
  const { rounds, warm, source } = programs[name]
  let machine = machines.get(name)
  if (!machine) {
    machine = new TestMachine()
    machines.set(name, machine)
    mapSv39(machine, Pte.R | Pte.W | Pte.X | Pte.A | Pte.D)
    // A wasm function is replaced by its optimised code only when it is called again: many short calls first.
    for (let i = 0; i < WARM_RUNS; i++) {
      run(machine, warm, source)
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    }
  }
  return run(machine, rounds, source)
}
