// Random streams: RV64IMA against the BigInt model, and every stream against outcomes of qemu-riscv64.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { Sstatus } from '../riscv/csr.ts'
import { RAM, TestMachine } from './testing/machine.ts'
import { Model } from './testing/model.ts'
import { QemuUser } from './testing/qemu-user.ts'
import { CODE, DATA_START, fnv, OUTCOME_BYTES, randomProgram } from './testing/random-program.ts'
import { type StreamName, streams } from './testing/streams.ts'
import { Exit } from './vcpu-block.ts'

const names = Object.keys(streams) as StreamName[]

/** Outcomes by stream and seed; made by testing/record-qemu.ts. */
const recorded = JSON.parse(
  readFileSync(new URL('./testing/qemu-outcomes.json', import.meta.url), 'utf8'),
) as { length: number; outcomes: Record<StreamName, Record<string, string>> }

/** Instructions of a stream that is compared with QEMU. */
const LENGTH = 3000
/** Streams of each kind that are compared live. */
const LIVE = process.env.GMEMSCOPE_SOAK === undefined ? 10 : 2000

/** Data area and registers after the engine ran a program. */
function outcome(words: Uint32Array<ArrayBuffer>): { bytes: Uint8Array; machine: TestMachine } {
  const machine = new TestMachine()
  machine.u32.set(words, machine.host(RAM) / 4)
  // A Linux process has floating point.
  machine.set('SSTATUS', BigInt(Sstatus.FS))
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
        const words = randomProgram(seed, 1500, 'base')
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

  it.each(names)('%s: end as qemu-riscv64 recorded', (stream) => {
    expect(recorded.length).toBe(LENGTH)
    const hashes = Object.entries(recorded.outcomes[stream])
    expect(hashes.length).toBeGreaterThanOrEqual(64)
    for (const [seed, hash] of hashes)
      expect(fnv(outcome(randomProgram(Number(seed), LENGTH, stream)).bytes), `seed ${seed}`).toBe(hash)
  })

  // The recorded outcomes above hold everywhere; where qemu-riscv64 is installed, fresh seeds are compared too.
  const qemu = QemuUser.find()
  if (qemu) {
    afterAll(() => qemu.end())
    it.each(names)('%s: end as qemu-riscv64 does now', (stream) => {
      const first = Math.floor(Math.random() * 2 ** 31)
      for (let seed = first; seed < first + LIVE; seed++) {
        const words = randomProgram(seed, LENGTH, stream)
        expect(fnv(outcome(words).bytes), `seed ${seed}`).toBe(fnv(qemu.run(words)))
      }
    })
  }
})
