// Random RV64IMA streams: against the BigInt model, and against recorded outcomes of qemu-riscv64.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { elf } from './testing/elf.ts'
import { RAM, TestMachine } from './testing/machine.ts'
import { Model } from './testing/model.ts'
import { CODE, DATA_BASE, DATA_START, fnv, OUTCOME_BYTES, randomProgram } from './testing/random-program.ts'
import { Exit } from './vcpu-block.ts'

/** Outcomes by seed; made by testing/record-qemu.ts. */
const recorded = JSON.parse(
  readFileSync(new URL('./testing/qemu-outcomes.json', import.meta.url), 'utf8'),
) as { length: number; hashes: Record<string, string> }

/** Instructions of a recorded stream. */
const LENGTH = 3000

/** Data area and registers after the engine ran a program. */
function outcome(words: Uint32Array<ArrayBuffer>): { bytes: Uint8Array; machine: TestMachine } {
  const machine = new TestMachine()
  machine.u32.set(words, machine.host(RAM) / 4)
  expect(machine.engine.run()).toBe(Exit.VS_ECALL)
  return {
    bytes: machine.u8.slice(machine.host(DATA_START), machine.host(DATA_START) + OUTCOME_BYTES),
    machine,
  }
}

describe('random instruction streams', () => {
  it('agree with the model in registers, memory, pc and instret', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const words = randomProgram(seed, 1500)
        const model = new Model(words, CODE)
        model.run()
        const { bytes, machine } = outcome(words)
        for (let register = 0; register < 32; register++)
          expect(machine.x(register), `x${register} of seed ${seed}`).toBe(model.x[register])
        expect(machine.get('PC')).toBe(model.pc)
        expect(machine.get('INSTRET')).toBe(BigInt(model.retired))
        const expected = Uint8Array.from({ length: OUTCOME_BYTES }, (_, offset) =>
          Number(model.read(BigInt(DATA_START + offset), 1)),
        )
        expect(fnv(bytes), `memory of seed ${seed}`).toBe(fnv(expected))
      }),
      { numRuns: 100 },
    )
  })

  it('end as qemu-riscv64 recorded', () => {
    expect(recorded.length).toBe(LENGTH)
    expect(Object.keys(recorded.hashes).length).toBeGreaterThanOrEqual(64)
    for (const [seed, hash] of Object.entries(recorded.hashes))
      expect(fnv(outcome(randomProgram(Number(seed), LENGTH)).bytes), `seed ${seed}`).toBe(hash)
  })

  // The recorded outcomes above hold everywhere; where qemu-riscv64 is installed, fresh seeds are compared too.
  if (hasQemu())
    it('end as qemu-riscv64 does now', () => {
      const folder = mkdtempSync(join(tmpdir(), 'gmemscope-'))
      try {
        const first = Math.floor(Math.random() * 2 ** 31)
        for (let seed = first; seed < first + 10; seed++) {
          const words = randomProgram(seed, LENGTH)
          const file = join(folder, 'stream')
          writeFileSync(file, elf(words, CODE, DATA_BASE + 0x2000), { mode: 0o755 })
          const theirs = execFileSync('qemu-riscv64', [file])
          expect(fnv(outcome(words).bytes), `seed ${seed}`).toBe(fnv(theirs))
        }
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
})

function hasQemu(): boolean {
  try {
    execFileSync('qemu-riscv64', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
