// The emulated kernel beside the real one: recorded answers always, live ones where this machine can give them.

import { readFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { profileByName } from '../../profiles.ts'
import { Kvm } from '../../uapi.ts'
import { KvmHost } from '../kvm-host.ts'
import { type Case, describeDifference, parseCases, Replayer } from '../replay.ts'
import { firstDifference, informative, shrink, withoutAnswers } from './compare.ts'
import { generate, groups } from './generate.ts'
import { Recorder } from './recorder.ts'

const read = (name: string): Case[] =>
  parseCases(JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8')))

const open = read('gmem-open.json')
const generated = read('generated.json')
const recorded618 = profileByName('x86-6.18-default-vm')
const replayer = new Replayer(recorded618)

const differences = (cases: readonly Case[]): string[] =>
  cases.flatMap((recorded) => {
    const difference = firstDifference(recorded, replayer)
    return difference ? [describeDifference(recorded, difference)] : []
  })

/** The recorder, where the kernel is of the version and the configuration that the vectors were recorded on. */
const recorderHere = (): Recorder | null => {
  if (!release().startsWith('6.18')) return null
  const source = fileURLToPath(new URL('./recorder.c', import.meta.url))
  const recorder = Recorder.build(source, join(tmpdir(), 'gmemscope-native'))
  const caps = open.filter(({ group }) => group === 'caps')
  const same = recorder && JSON.stringify(recorder.record(caps.map(withoutAnswers))) === JSON.stringify(caps)
  return same ? recorder : null
}

const recorder = recorderHere()

describe('K11 recorded answers to generated cases', () => {
  test.each(Object.keys(groups))('%s', (group) => {
    const cases = generated.filter((recorded) => recorded.group === group)
    expect(cases.length).toBeGreaterThan(0)
    expect(differences(cases)).toEqual([])
  })

  test('every call and errno of the first recording is among them', () => {
    const answers = (cases: readonly Case[]) =>
      new Set(cases.flatMap(({ steps }) => steps.map(({ op, errno }) => `${op} ${errno}`)))
    const missing = [...answers(open)].filter((answer) => !answers(generated).has(answer))
    expect(missing).toEqual([])
  })
})

describe(
  recorder ? 'K11 live answers' : 'K11 live answers: this is not the kernel, the recorded ones stand',
  () => {
    test('the recorder reproduces every recorded case', () => {
      const recorded = [...open, ...generated]
      expect(recorder ? recorder.record(recorded.map(withoutAnswers)) : recorded).toEqual(recorded)
    })

    test('300 generated cases', () => {
      // In long runs another seed every time: what one finds goes into the recorded ones.
      const seed = process.env.GMEMSCOPE_SOAK === undefined ? 1 : Date.now() % 2 ** 31
      const cases = recorder ? recorder.record(generate(seed, 300)) : generated
      expect(differences(cases), `seed ${seed}`).toEqual([])
    })
  },
)

test.each([{ gmemStore: 'filemap' }, { gmemLargeFolios: true }] as const)(
  'K11 recorded answers with the module parameter %o',
  (parameters) => {
    const other = new Replayer(recorded618, parameters)
    const different = [...open, ...generated].flatMap((recorded) => {
      const difference = firstDifference(recorded, other)
      return difference ? [describeDifference(recorded, difference)] : []
    })
    expect(different).toEqual([])
  },
)

test('a seed gives the same cases every time', () => {
  expect(generate(7, 22)).toEqual(generate(7, 22))
  expect(generate(7, 22)).not.toEqual(generate(8, 22))
})

describe('K2 KVM_CHECK_EXTENSION of every number', () => {
  const numbers = Array.from({ length: 301 }, (_, cap) => cap)
  const plan = {
    id: 'all',
    group: 'all',
    steps: [
      { op: 'create_vm', type: 0, as: 'vm0' },
      ...['kvm', 'vm0'].flatMap((on) => numbers.map((cap) => ({ op: 'check_extension', on, cap }))),
    ],
  }
  const kvm = new KvmHost({ profile: recorded618 })
  const fds = [kvm.kvm, kvm.createVm(0).fd]
  const emulated = (cap: number) => fds.map((fd) => kvm.ioctl(fd, Kvm.CHECK_EXTENSION, cap))
  /** Of what is about memory, what Linux 6.18 on x86 answers on either descriptor. */
  const memory: Readonly<Record<number, number>> = {
    3: 1, // USER_MEMORY
    5: 0, // MMU_SHADOW_CACHE_CONTROL
    10: 32764, // NR_MEMSLOTS
    16: 1, // SYNC_MMU
    21: 1, // DESTROY_MEMORY_REGION_WORKS
    30: 1, // JOIN_MEMORY_REGIONS_WORKS
    81: 1, // READONLY_MEM
    98: 1, // ENABLE_CAP_VM
    105: 1, // CHECK_EXTENSION_VM
    118: 0, // MULTI_ADDRESS_SPACE
    168: 3, // MANUAL_DIRTY_LOG_PROTECT2
    201: 0x1000, // EXIT_HYPERCALL
    207: 0, // VM_GPA_BITS
    231: 1, // USER_MEMORY2
    232: 1, // MEMORY_FAULT_INFO
    233: 0, // MEMORY_ATTRIBUTES
    234: 1, // GUEST_MEMFD
    235: 1, // VM_TYPES
    236: 0, // PRE_FAULT_MEMORY
    244: 3, // GUEST_MEMFD_FLAGS
    252: 0, // GUEST_MEMFD_MEMORY_ATTRIBUTES
  }
  test('what is about memory', () => {
    for (const [cap, answer] of Object.entries(memory))
      expect(emulated(Number(cap)), `capability ${cap}`).toEqual([answer, answer])
  })

  test('what is about memory is as the live kernel has it, and nothing is claimed that it has not', () => {
    const live = recorder?.record([plan])[0].steps.map(({ ret }) => ret)
    // Numbers of vCPUs depend on the machine, and on how many ids there are beyond them.
    const counts = [9, 66, 128]
    for (const cap of numbers) {
      if (counts.includes(cap)) continue
      const claimed = emulated(cap)
      const real = live ? [live[1 + cap], live[1 + numbers.length + cap]] : claimed
      if (cap in memory || claimed.some((answer) => answer !== 0))
        expect(claimed, `capability ${cap}`).toEqual(real)
    }
  })
})

/** A recorder that knows the answers: those of the cases it was made with. */
const replayed = (cases: readonly Case[]): Pick<Recorder, 'record'> => ({
  record: (plans) =>
    plans.map(({ steps, ...plan }) => {
      const known = cases.flatMap((recorded) => recorded.steps)
      return {
        ...plan,
        steps: steps.map((request) => {
          const found = known.find(
            ({ ret: _r, errno: _e, out: _o, ...rest }) => JSON.stringify(rest) === JSON.stringify(request),
          )
          if (!found) throw new Error('unknown step')
          return found
        }),
      }
    }),
})

test('a case that differs is made as short as it gets', () => {
  const [first] = open.filter(({ id }) => id === 'file/read-flags-0')
  const steps = first.steps.map((step) => (step.len === 65536 ? { ...step, errno: 'EIO' } : step))
  const wrong = { ...first, steps }
  const short = shrink(wrong, replayed([wrong]), replayer)
  expect(short.steps.map(({ op }) => op)).toEqual(['create_vm', 'create_guest_memfd', 'read'])
  expect(shrink(first, replayed([first]), replayer)).toBe(first)
})

test('informative cases end with the last answer that is new', () => {
  const kept = informative(open.slice(0, 40), 1e6)
  const answers = (cases: readonly Case[]) =>
    new Set(cases.flatMap(({ steps }) => steps.map(({ op, errno }) => `${op} ${errno}`)))
  expect(answers(kept)).toEqual(answers(open.slice(0, 40)))
  expect(kept.length).toBeLessThan(40)
  expect(JSON.stringify(informative(open, 50_000)).length).toBeLessThan(51_000)
})
