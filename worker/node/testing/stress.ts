// Two harts on real threads touch pages as fast as they can while the host converts, punches, reads, pins and compacts
// behind the guest's back, on a host that the seed chooses. Ends with the machine at rest, every invariant checked (docs/SPEC.md F, M, S), and what the
// guest saw judged: a page holds zero or its own tag, never anything else.
// usage: node scripts/run.mjs worker/node/testing/stress.ts SECONDS SEED     exit status 0 when all held

import { elf } from '../../../core/engine/testing/elf.ts'
import { seededRandom } from '../../../core/host/scheduler.ts'
import { defaultHostChoice, type HostChoice, storeKinds } from '../../../core/machine/host-choice.ts'
import { assemble } from '../../../core/riscv/asm.ts'
import { createNodeMachine } from '../platform.ts'

const RAM = 0x80000000
const CODE = RAM + 0x200000
const ARENA = RAM + 0x400000
const PAGES = 64
const MIB = 2 ** 20

/**
 * Each hart walks the arena for ever: a word of each page must be 0 or the page's tag (its address); then the tag
 * is stored. A wrong word is reported by a shutdown with reason 1.
 */
const guest = `
  li a0, 1
  li a1, ${CODE + 0x400}
  li a2, 0
  li a6, 0
  li a7, 0x48534d
  ecall
  li t0, ${CODE + 0x400}
  jalr zero, 0(t0)
`

const walk = `
  forever:
  li s0, ${ARENA}
  li s1, ${ARENA + PAGES * 4096}
  page:
  lwu t0, 0(s0)
  beqz t0, fresh
  bne t0, s0, wrong
  fresh:
  sw s0, 0(s0)
  li t1, 4096
  add s0, s0, t1
  bne s0, s1, page
  j forever
  wrong:
  li a0, 0
  li a1, 1
  li a6, 0
  li a7, 0x53525354
  ecall
`

const program = (): Uint8Array => {
  const words = new Uint32Array(0x400 / 4 + 64)
  words.set(assemble(guest, CODE))
  words.set(assemble(walk, CODE + 0x400), 0x400 / 4)
  return elf(words, CODE, CODE + 0x1000)
}

const [seconds, seed] = process.argv.slice(2).map(Number)
const random = seededRandom(seed)
const host: HostChoice = {
  ...defaultHostChoice,
  version: seed % 2 === 0 ? 'next-in-place' : '7.2',
  gmemStore: storeKinds[(seed >> 1) % 2],
  gmemLargeFolios: (seed >> 2) % 2 === 1,
  nodes: (seed >> 3) % 2 === 1 ? 2 : 1,
}
const machine = createNodeMachine()
let ended = ''
await machine.create(
  {
    hostBytes: 128 * MIB,
    ramBytes: 8 * MIB,
    vcpus: 2,
    kernel: program(),
    append: '',
    private: true,
    host,
  },
  {
    notice: () => {},
    stopped: ({ message }) => {
      ended = message
    },
  },
)
await machine.run()
const counts = { convert: 0, punch: 0, read: 0, pin: 0, unpin: 0, compact: 0, pause: 0 }
const until = performance.now() + seconds * 1000
while (performance.now() < until && !ended) {
  const first = random() % PAGES
  const gpa = ARENA + first * 4096
  const size = (1 + (random() % Math.min(8, PAGES - first))) * 4096
  switch (random() % 11) {
    case 0:
    case 1:
    case 2:
    case 3:
      await machine.hostConvert(gpa, size, random() % 2 === 0)
      counts.convert++
      break
    case 4:
    case 5:
      await machine.hostPunchHole(gpa, size)
      counts.punch++
      break
    case 6:
      await machine.hostRead(gpa, 16)
      counts.read++
      break
    case 7:
      if ((await machine.hostPin(gpa)).kind === 'ok') counts.pin++
      break
    case 8:
    case 9:
      // A pin keeps the page from being converted in place, so most are given back soon.
      for (const page of (await machine.hostState()).pinned) {
        await machine.hostUnpin(page)
        counts.unpin++
      }
      break
    default:
      if (random() % 8 === 0) {
        await machine.hostCompact()
        await machine.hostDrain()
        counts.compact++
      }
      // Rarely: a pause stops both harts for a moment.
      if (random() % 16 !== 0) break
      await machine.pause()
      await machine.run()
      counts.pause++
  }
}
const violations = await machine.checkInvariants()
const { exits, instructions } = await machine.stats()
console.log(JSON.stringify({ seed, host, counts, instructions, exits, ended, violations }))
process.exit(ended || violations.length > 0 ? 1 : 0)
