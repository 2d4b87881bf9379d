// What KVM and Gunyah each take from the guest memory core, and what it asks of each, counted in running code.
// The table of docs/core-sharing.md is this one.

import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { GmemFile } from '../gmem/file.ts'
import { GmemInode } from '../gmem/inode.ts'
import { Hypervisor } from '../gunyah/hyp/hypervisor.ts'
import { GunyahMemory, KvmMemory, type MemoryHost, type MemoryHostOptions } from './testing/memory-hosts.ts'

const PAGES = 16
const BYTE = Uint8Array.of(1)

/** The core's functions that allocate, hand pages out, bind and free. */
const OF_FILE = ['mmap', 'fault', 'bind', 'unbind', 'getPfn', 'teardown'] as const
const OF_INODE = ['folioOrCreate', 'makeUptodate', 'allocateRange', 'truncateRange', 'evict'] as const
/** Functions of the core that are no methods, and the class itself, by the event that only they trace. */
const BY_EVENT = {
  gmem_create: 'GmemInode',
  gmem_punch_hole: 'punchHole',
  gmem_set_attributes: 'convertPages',
} as const
/** What the core asks of the front end. */
const ASKED = [
  'prepareInaccessible',
  'prepareAccessible',
  'invalidateBegin',
  'converted',
  'invalidateEnd',
  'release',
] as const
/** What Gunyah's driver, and the Resource Manager for it, ask of the hypervisor about memory. */
const HYPERCALLS = ['memextentDonate', 'memextentModify', 'addrspaceMap', 'addrspaceUnmap'] as const

type Counter = readonly [name: string, calls: () => number]

const counter = (target: object, name: string): Counter => {
  const spy = vi.spyOn(target as Record<string, () => unknown>, name)
  return [name, () => spy.mock.calls.length]
}

const countersOf = (target: object, names: readonly string[]): Counter[] =>
  names.filter((name) => name in target).map((name) => counter(target, name))

/** "bind, 2 folioOrCreate", or "-". */
const list = (counters: readonly Counter[]): string =>
  counters
    .map(([name, calls]) => [name, calls()] as const)
    .filter(([, calls]) => calls > 0)
    .map(([name, calls]) => (calls > 1 ? `${calls} ${name}` : name))
    .join(', ') || '-'

interface Calls {
  readonly core: string
  readonly asked: string
  readonly hypercalls: string
}

/** The calls that a step makes. */
const callsOf = (host: MemoryHost, step: () => void): Calls => {
  const trace = vi.spyOn(host.host, 'trace')
  const core: Counter[] = [
    ...Object.entries(BY_EVENT).map(
      ([event, name]): Counter => [
        name,
        () => trace.mock.calls.filter(([traced]) => traced === event).length,
      ],
    ),
    ...countersOf(GmemFile.prototype, OF_FILE),
    ...countersOf(GmemInode.prototype, OF_INODE),
  ]
  const asked = countersOf(host.operations, ASKED)
  const hypercalls = countersOf(Hypervisor.prototype, HYPERCALLS)
  try {
    step()
    return { core: list(core), asked: list(asked), hypercalls: list(hypercalls) }
  } finally {
    vi.restoreAllMocks()
  }
}

/** A step of a file's life, on a host that did nothing else before. */
interface Path {
  readonly name: string
  readonly options?: Partial<MemoryHostOptions>
  /** Everything before the step; returns the step. */
  prepare(host: MemoryHost): () => void
}

/** A file bound to the guest, whose page 0 it has touched. */
const touched = (host: MemoryHost): number => {
  const file = host.create(PAGES)
  host.bind(file, PAGES)
  host.touch(0)
  return file
}

const SHARED = { kind: 'shared' } as const
const IN_PLACE = { version: 'next-in-place' } as const

const paths: readonly Path[] = [
  { name: 'create', prepare: (host) => () => host.create(PAGES) },
  {
    name: 'allocate a page',
    prepare: (host) => {
      const file = host.create(PAGES)
      return () => host.allocate(file, 0, 1)
    },
  },
  {
    name: 'bind',
    prepare: (host) => {
      const file = host.create(PAGES)
      return () => host.bind(file, PAGES)
    },
  },
  {
    name: 'first guest touch',
    prepare: (host) => {
      host.bind(host.create(PAGES), PAGES)
      return () => host.touch(0)
    },
  },
  {
    name: 'host maps the file',
    options: SHARED,
    prepare: (host) => {
      const file = host.create(PAGES)
      return () => host.mmap(file, PAGES)
    },
  },
  {
    name: 'host touches a page',
    options: SHARED,
    prepare: (host) => {
      const address = host.mmap(host.create(PAGES), PAGES)
      return () => host.store(address, BYTE)
    },
  },
  {
    name: 'host maps, the guest has a page',
    options: IN_PLACE,
    prepare: (host) => {
      const file = touched(host)
      return () => host.mmap(file, PAGES)
    },
  },
  {
    name: 'punch, no guest has it',
    prepare: (host) => {
      const file = host.create(PAGES)
      host.allocate(file, 0, 1)
      return () => host.punch(file, 0, 1)
    },
  },
  {
    name: 'punch, the guest has it',
    prepare: (host) => {
      const file = touched(host)
      return () => host.punch(file, 0, 1)
    },
  },
  {
    name: `punch ${PAGES}, the guest has them`,
    prepare: (host) => {
      const file = touched(host)
      for (let page = 1; page < PAGES; page++) host.touch(page)
      return () => host.punch(file, 0, PAGES)
    },
  },
  {
    name: 'a page to shared',
    options: IN_PLACE,
    prepare: (host) => {
      const file = touched(host)
      return () => host.convert(file, 0, 1, 'shared')
    },
  },
  {
    name: 'and back to private',
    options: IN_PLACE,
    prepare: (host) => {
      const file = touched(host)
      host.convert(file, 0, 1, 'shared')
      return () => host.convert(file, 0, 1, 'private')
    },
  },
  {
    name: 'unbind, the guest has a page',
    prepare: (host) => {
      const file = touched(host)
      return () => host.unbind(file, PAGES)
    },
  },
  {
    name: 'close, still bound',
    prepare: (host) => {
      const file = touched(host)
      return () => host.close(file)
    },
  },
  {
    name: 'close, unbound before',
    prepare: (host) => {
      const file = touched(host)
      host.unbind(file, PAGES)
      return () => host.close(file)
    },
  },
]

/** A row of the document's table: step, core, KVM asked, Gunyah asked, its hypercalls. */
const row = ({ name, options, prepare }: Path): string => {
  const [kvm, gunyah] = [new KvmMemory(options), new GunyahMemory(options)].map((host) =>
    callsOf(host, prepare(host)),
  )
  const core = kvm.core === gunyah.core ? kvm.core : `KVM: ${kvm.core}; Gunyah: ${gunyah.core}`
  return `| ${[name, core, kvm.asked, gunyah.asked, gunyah.hypercalls].join(' | ')} |`
}

/** The rows of the table that begins with a heading of this first cell. */
const tableOf = (text: string, firstCell: string): string[] => {
  const lines = text.split('\n')
  const head = lines.findIndex((line) => line.startsWith(`| ${firstCell} |`))
  const rest = lines.slice(head + 2)
  return rest.slice(
    0,
    rest.findIndex((line) => !line.startsWith('|')),
  )
}

test('the calls on each path are those that the document lists', () => {
  const document = readFileSync(new URL('../../docs/core-sharing.md', import.meta.url), 'utf8')
  expect(tableOf(document, 'step')).toEqual(paths.map(row))
})
