// The work of the sharing bench: the same steps of a guest memory file's life under KVM and under Gunyah.
//
// Only ratios are of interest, so what is compared is done in turn, call by call, and timed by the processor time of
// this process: other programs then disturb both sides alike, and little.

import { PAGE_SIZE } from '../core/base/units.ts'
import {
  defaults,
  GunyahMemory,
  KvmMemory,
  type MemoryHost,
  type MemoryHostOptions,
} from '../core/machine/testing/memory-hosts.ts'

const PAGES = 4096
const BIND_PAGES = 512
const PAIRS = 500
const HOST_BYTES = 128 * 2 ** 20
/** A run goes on until its slowest side has worked so long (ms), and all have been called so often. */
const RUN_MS = 300
const RUN_CALLS = 10
const BYTE = Uint8Array.of(1)

export interface SharedWork {
  readonly name: string
  readonly unit: string
  /** Units done by one call of `once`. */
  readonly amount: number
  readonly options: Partial<MemoryHostOptions>
  /** Does the work once; returns the ms that its timed part took. */
  once(host: MemoryHost): number
}

const PRIVATE = { kind: 'private' } as const
const SHARED = { kind: 'shared' } as const

/** A new file that the guest sees, and has touched the first pages of; `work` may leave it bound or not. */
const withFile = (host: MemoryHost, touched: number, work: (file: number) => number): number => {
  const file = host.create(PAGES)
  host.bind(file, PAGES)
  for (let page = 0; page < touched; page++) host.touch(page)
  const ms = work(file)
  host.close(file)
  return ms
}

const touchAll = (host: MemoryHost): number =>
  withFile(host, 0, (file) => {
    const ms = timed(() => {
      for (let page = 0; page < PAGES; page++) host.touch(page)
    })
    host.unbind(file, PAGES)
    return ms
  })

const punchAll = (host: MemoryHost, step: number): number =>
  withFile(host, PAGES, (file) => {
    const ms = timed(() => {
      for (let page = 0; page < PAGES; page += step)
        if (host.punch(file, page, step) !== 0) throw new Error('a guest of the bench kept its page')
    })
    host.unbind(file, PAGES)
    return ms
  })

export const sharedWork: readonly SharedWork[] = [
  {
    name: 'allocate',
    unit: 'pages/s',
    amount: PAGES,
    options: PRIVATE,
    once: (host) => {
      const file = host.create(PAGES)
      const ms = timed(() => host.allocate(file, 0, PAGES))
      host.close(file)
      return ms
    },
  },
  {
    name: 'host_fault_fresh',
    unit: 'pages/s',
    amount: PAGES,
    options: SHARED,
    once: (host) => {
      const file = host.create(PAGES)
      const address = host.mmap(file, PAGES)
      const ms = timed(() => {
        for (let page = 0; page < PAGES; page++) host.store(address + page * PAGE_SIZE, BYTE)
      })
      host.munmap(address, PAGES)
      host.close(file)
      return ms
    },
  },
  {
    name: 'bind_unbind_2m',
    unit: 'pairs/s',
    amount: PAIRS,
    options: SHARED,
    once: (host) => {
      const file = host.create(BIND_PAGES)
      const ms = timed(() => {
        for (let i = 0; i < PAIRS; i++) {
          host.bind(file, BIND_PAGES)
          host.unbind(file, BIND_PAGES)
        }
      })
      host.close(file)
      return ms
    },
  },
  { name: 'guest_fault_shared', unit: 'pages/s', amount: PAGES, options: SHARED, once: touchAll },
  { name: 'guest_fault_private', unit: 'pages/s', amount: PAGES, options: PRIVATE, once: touchAll },
  {
    name: 'punch_private_whole',
    unit: 'pages/s',
    amount: PAGES,
    options: PRIVATE,
    once: (host) => punchAll(host, PAGES),
  },
  {
    name: 'punch_private_by_page',
    unit: 'pages/s',
    amount: PAGES,
    options: PRIVATE,
    once: (host) => punchAll(host, 1),
  },
  {
    name: 'unbind_private',
    unit: 'pages/s',
    amount: PAGES,
    options: PRIVATE,
    once: (host) => withFile(host, PAGES, (file) => timed(() => host.unbind(file, PAGES))),
  },
  {
    name: 'convert_page_and_back',
    unit: 'calls/s',
    amount: 2 * BIND_PAGES,
    options: { kind: 'private', version: 'next-in-place' },
    once: (host) =>
      withFile(host, BIND_PAGES, (file) => {
        const ms = timed(() => {
          for (let page = 0; page < BIND_PAGES; page++) {
            host.convert(file, page, 1, 'shared')
            host.convert(file, page, 1, 'private')
          }
        })
        host.unbind(file, PAGES)
        return ms
      }),
  },
]

const bare = { bytes: HOST_BYTES, poison: false }

/** Rates of one run of a work on fresh hosts. */
export const sharedRates = (work: SharedWork): { readonly KVM: number; readonly Gunyah: number } => {
  const options = { ...work.options, ...bare }
  const kvm = new KvmMemory(options)
  const gunyah = new GunyahMemory(options)
  const [KVM, Gunyah] = inTurn(work.amount, [() => work.once(kvm), () => work.once(gunyah)])
  return { KVM, Gunyah }
}

/** What the host's loads find in its stage 2. */
export const HOST_LEAVES = ['none', '2m', '4k'] as const
export type HostLeaves = (typeof HOST_LEAVES)[number]

/** Loads a second of the host's process, one from each page of a mapped file, by what it finds in its stage 2. */
export const hostLoadRates = (length: number): Readonly<Record<HostLeaves, number>> => {
  const sides = HOST_LEAVES.map((leaves) => {
    const { host, address } = mappedHost(leaves)
    return (): number =>
      timed(() => {
        for (let page = 0; page < PAGES; page++) host.load(address + page * PAGE_SIZE, length)
      })
  })
  const [none, large, small] = inTurn(PAGES, sides)
  return { none, '2m': large, '4k': small }
}

/** A host whose process has mapped a file, and touched it. */
const mappedHost = (leaves: HostLeaves) => {
  const host = new GunyahMemory({ ...defaults, ...bare })
  const file = host.create(PAGES)
  host.allocate(file, 0, PAGES)
  if (leaves === '4k') {
    // What was lent once has leaves of its own.
    host.bind(file, PAGES)
    for (let page = 0; page < PAGES; page++) host.touch(page)
    host.unbind(file, PAGES)
  }
  if (leaves === 'none') host.host.stage2 = null
  const address = host.mmap(file, PAGES)
  for (let page = 0; page < PAGES; page++) host.store(address + page * PAGE_SIZE, BYTE)
  return { host, address }
}

/** Processor time (ms) that `work` took. */
const timed = (work: () => void): number => {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Units a second of each side, whose call does `amount` and returns the ms it took. The first call of each warms up. */
const inTurn = (amount: number, sides: readonly (() => number)[]): number[] => {
  for (const side of sides) side()
  const ms = sides.map(() => 0)
  let calls = 0
  for (; calls < RUN_CALLS || Math.max(...ms) < RUN_MS; calls++)
    for (const [i, side] of sides.entries()) ms[i] += side()
  return ms.map((taken) => (calls * amount * 1000) / taken)
}
