// Generated calls on descriptors and on mappings.

import { type CaseBuilder, type MapName, nearPages, PAGE, signedEdge, type Word } from './case-builder.ts'

const ONE_MIB = 2 ** 20

/** Kinds whose fstat, statfs or name hold numbers of the host's. */
const HOST_STAT = new Set(['null', 'directory', 'path', 'kvm'])

interface Target {
  readonly fd: string | number
  /** Kind of file; `gmem`, `vm`, `kvm`, `closed`, or that of open_other. */
  readonly kind: string
}

const target = (builder: CaseBuilder): Target => {
  const { choose } = builder
  if (choose.oneIn(16)) return { fd: choose.of([-1, -2, 2147483647, 'g99']), kind: 'closed' }
  if (choose.oneIn(10)) return { fd: choose.of(builder.vms), kind: 'vm' }
  if (choose.oneIn(16)) return { fd: 'kvm', kind: 'kvm' }
  if (builder.others.length > 0 && choose.oneIn(2)) {
    const { name, kind } = choose.of(builder.others)
    return { fd: name, kind }
  }
  return { fd: choose.of(builder.gmems).name, kind: 'gmem' }
}

const LENGTHS = [0, 1, 7, 8, 4095, 4096, 65536, ONE_MIB]

const fallocate = (builder: CaseBuilder, fd: unknown): void => {
  const { choose } = builder
  // Only what stays small may be allocated: an ordinary file would grow to any length asked for.
  const mode = choose.of([0, 1, 1, 1, 3, 3, 3, 2, 16, 17, 8, 9, 32, 64, 128, 4, 256, -1])
  const wild = choose.oneIn(4) && (mode & 2) !== 0
  builder.step('fallocate', {
    fd,
    mode,
    offset: wild ? signedEdge(choose) : choose.oneIn(12) ? choose.of([-1, -4096]) : nearPages(choose, 30),
    len: wild ? signedEdge(choose) : choose.oneIn(12) ? choose.of([0, -1]) : nearPages(choose, 30),
  })
}

const SEALS = [1, 2, 4, 8, 16, 32]
/** Commands with arguments whose answers are the same everywhere. */
const fcntl = (builder: CaseBuilder, fd: unknown): void => {
  const { choose } = builder
  const [cmd, arg] = choose.of<[number, Word]>([
    [1, 0],
    [2, choose.of([0, 1, 2, 3])],
    [3, 0],
    [4, choose.bits([1, 2, 1024, 2048, 0o10000, 0o1000000, 4096], 3)],
    [4, choose.of([0, 1024, 2048, 16384, 3072])],
    [1033, choose.bits(SEALS, 2)],
    [1034, 0],
    [12345, 0],
    [-1, 0],
    [1025, 0],
    [1026, 0],
  ])
  builder.step('fcntl', { fd, cmd, arg })
}

type FileCall = (builder: CaseBuilder, target: Target) => void

/** Left out where the condition says so: the answer would be the host's. */
const unless =
  (left: (kind: string) => boolean, call: FileCall): FileCall =>
  (builder, on) => {
    if (!left(on.kind)) call(builder, on)
  }

const stat = unless(
  (kind) => HOST_STAT.has(kind),
  (builder, { fd }) => builder.step('fstat', { fd }),
)
const dup: FileCall = (builder, { fd, kind }) => {
  const as = builder.name('g')
  builder.step('dup', { fd, as })
  if (kind !== 'gmem' && kind !== 'vm') builder.others.push({ name: as, kind })
}

const reopen: FileCall = (builder, { fd, kind }) => {
  const as = builder.name('g')
  const flags = builder.choose.of([0, 1, 2, 2097152, 2097152 | 2, 3, 1024 | 2, 0o2000000, 2048])
  builder.step('reopen', { fd, flags, as })
  if (kind !== 'gmem') builder.others.push({ name: as, kind })
}

const fileCalls: readonly FileCall[] = [
  (builder, { fd }) => fallocate(builder, fd),
  (builder, { fd }) => fallocate(builder, fd),
  stat,
  stat,
  unless(
    (kind) => HOST_STAT.has(kind),
    (builder, { fd }) => builder.step('fstatfs', { fd }),
  ),
  unless(
    (kind) => kind === 'pipe' || kind === 'directory' || kind === 'path',
    (builder, { fd }) => builder.step('readlink_fd', { fd }),
  ),
  (builder, { fd }) => {
    const { choose } = builder
    builder.step('ftruncate', { fd, length: choose.oneIn(3) ? signedEdge(choose) : nearPages(choose, 300) })
  },
  // Reading an empty pipe or counter waits.
  unless(
    (kind) => kind === 'pipe' || kind === 'eventfd',
    (builder, { fd }) => builder.step('read', { fd, len: builder.choose.of(LENGTHS) }),
  ),
  (builder, { fd }) => builder.step('write', { fd, len: builder.choose.of(LENGTHS) }),
  (builder, { fd }) =>
    builder.step('pread', { fd, len: builder.choose.of(LENGTHS), offset: offsetOf(builder) }),
  (builder, { fd }) =>
    builder.step('pwrite', { fd, len: builder.choose.of(LENGTHS), offset: offsetOf(builder) }),
  // Where a directory's position goes is its file system's affair.
  unless(
    (kind) => kind === 'directory' || kind === 'path',
    (builder, { fd }) =>
      builder.step('lseek', {
        fd,
        offset: offsetOf(builder),
        whence: builder.choose.of([0, 1, 2, 3, 4, 5, -1]),
      }),
  ),
  (builder, { fd }) => fcntl(builder, fd),
  (builder, { fd }) => builder.step('fsync', { fd }),
  // Devices and directories are the host's: their permissions are not touched.
  unless(
    (kind) => !['gmem', 'vm', 'memfd', 'memfd_secret'].includes(kind),
    (builder, { fd }) =>
      builder.step('fchmod', { fd, mode: builder.choose.of([0, 0o600, 0o444, 0o777, 0o7777]) }),
  ),
  dup,
  unless((kind) => kind === 'pipe' || kind === 'directory', reopen),
]

/** One call on some descriptor. */
export const fileCall = (builder: CaseBuilder): void => {
  const on = target(builder)
  builder.choose.of(fileCalls)(builder, on)
}

const offsetOf = ({ choose }: CaseBuilder): Word =>
  choose.oneIn(3) ? signedEdge(choose) : nearPages(choose, 300)

const ADVICE = [
  0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 99, -1, 4, 9, 22, 23,
]
const MAP_FLAGS = [0x100, 0x800, 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x200000]

const mmap = (builder: CaseBuilder): void => {
  const { choose } = builder
  const { fd } = target(builder)
  const flags =
    (choose.oneIn(12) ? choose.of([0, 4, 8, 15]) : choose.of([1, 1, 1, 1, 2, 3])) |
    (choose.oneIn(3) ? choose.bits(MAP_FLAGS, 2) : 0)
  const as = builder.name('m')
  const large = choose.oneIn(12) && (flags & 0xa002) === 0
  const len = large
    ? choose.of([0, 1, 2 ** 47, '0xfffffffffffff000', '0xffffffffffffffff', 2 ** 40])
    : nearPages(choose, 16)
  const offset = choose.oneIn(8) ? signedEdge(choose) : nearPages(choose, 16)
  const prot = choose.oneIn(10)
    ? choose.of([8, 16, 0x1000003, 0x2000003, 255])
    : choose.of([0, 1, 2, 3, 3, 3, 3, 5, 7])
  builder.step('mmap', { fd, prot, flags, len, offset, as })
  // A mapping too large to walk is only ever touched in its first pages, through `large`.
  if (!large) builder.maps.push({ name: as, pages: Math.ceil(Number(len) / PAGE) })
  else builder.step('mem_read', { map: as, offset: 0 })
}

type MemoryCall = (builder: CaseBuilder, on: MapName) => void

const munmap: MemoryCall = (builder, { name: map, pages }) => {
  const { choose } = builder
  const part = { offset: nearPages(choose, pages + 1), len: nearPages(choose, pages + 1) }
  builder.step('munmap', choose.oneIn(3) ? { map } : { map, ...part })
}

const madvise: MemoryCall = (builder, { name: map, pages }) => {
  const { choose } = builder
  builder.step('madvise', {
    map,
    advice: choose.of(ADVICE),
    offset: nearPages(choose, pages),
    // Nothing longer that the kernel would take: it would reach the recording program's own memory.
    len: choose.oneIn(20)
      ? choose.of(['0xffffffffffffffff', '0xfffffffffffff000'])
      : nearPages(choose, pages + 2),
  })
}

const anywhere = ({ choose }: CaseBuilder, { pages }: MapName): number => choose.below((pages + 1) * PAGE)

const read: MemoryCall = (builder, on) =>
  builder.step('mem_read', { map: on.name, offset: anywhere(builder, on) })
const write: MemoryCall = (builder, on) =>
  builder.step('mem_write', {
    map: on.name,
    offset: anywhere(builder, on),
    value: 1 + builder.choose.below(255),
  })

/** A run of pages of a mapping, which may reach past its end. */
const run = ({ choose }: CaseBuilder, { name: map, pages }: MapName) => ({
  map,
  offset: choose.below(pages + 1) * PAGE,
  len: choose.below(4) * PAGE,
})

const memoryCalls: readonly MemoryCall[] = [
  (builder) => {
    if (builder.maps.length < 6) mmap(builder)
  },
  munmap,
  madvise,
  madvise,
  madvise,
  (builder, { name: map }) => builder.step('mprotect', { map, prot: builder.choose.of(PROTECTIONS) }),
  (builder, { name: map }) => {
    if (builder.choose.oneIn(3)) builder.step('mlock', { map })
  },
  (builder, { name: map }) => builder.step('mincore', { map }),
  (builder, { name: map }) => builder.step('mincore', { map }),
  read,
  read,
  write,
  write,
  (builder, on) => builder.step('mem_fill', { ...run(builder, on), value: builder.choose.below(256) }),
  (builder, on) => builder.step('mem_check', { ...run(builder, on), value: builder.choose.of([0, 0, 7]) }),
  (builder) => {
    const { choose } = builder
    builder.step('fallocate', {
      fd: choose.of(builder.gmems).name,
      mode: choose.of([1, 3]),
      offset: nearPages(choose, 16),
      len: nearPages(choose, 6),
    })
  },
]

const PROTECTIONS = [0, 1, 2, 3, 3, 4, 5, 7, 8, 16, 0x1000001, 0x2000001, 0x3000001]

/** One call on some mapping; `first`: rather a new mapping. */
export const memoryCall = (builder: CaseBuilder, first: boolean): void => {
  const { choose } = builder
  const maps = [...builder.maps, ...builder.anons]
  if (first || maps.length === 0) mmap(builder)
  else choose.of(memoryCalls)(builder, choose.of(maps))
}
