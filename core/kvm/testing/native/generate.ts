// Cases that follow from a seed: valid and hostile calls of every kind the document can express.
//
// Left out, because the results are the host's and not the uAPI's: sizes and link counts of directories and devices,
// numbers in names, calls that would block, and whatever would take more memory than a small host has.

import {
  CaseBuilder,
  Chooser,
  edge,
  nearPages,
  PAGE,
  signed,
  signedEdge,
  unsigned,
  type Word,
} from './case-builder.ts'
import { fileCall, memoryCall } from './generate-calls.ts'
import { slotCall } from './generate-slots.ts'
import type { Plan } from './recorder.ts'

const KINDS = ['memfd', 'memfd_secret', 'pipe', 'null', 'eventfd', 'directory', 'path']

const start = (builder: CaseBuilder, vms: number, files: number): void => {
  const { choose } = builder
  for (let i = 0; i < vms; i++) builder.vm()
  for (let i = 0; i < files; i++)
    builder.gmem(1 + choose.below(24), choose.of([0, 1, 3, 3, 3]), choose.of(builder.vms))
}

/** Calls on descriptors of every kind. */
const files = (builder: CaseBuilder): void => {
  start(builder, 1, 2)
  const kind = builder.choose.of(KINDS)
  builder.other(kind)
  if (builder.choose.oneIn(3)) builder.other(builder.choose.of(KINDS))
  for (let i = 0; i < 24; i++) fileCall(builder)
}

/** Calls on guest_memfd files alone. */
const gmemFiles = (builder: CaseBuilder): void => {
  start(builder, 1, 1 + builder.choose.below(3))
  for (let i = 0; i < 24; i++) fileCall(builder)
}

/** A guest_memfd made with hostile arguments, and what came of it. */
const create = (builder: CaseBuilder): void => {
  const { choose } = builder
  builder.step('create_vm', { type: choose.oneIn(4) ? edge(choose) : 0, as: 'vm0' })
  builder.vms.push('vm0')
  for (let i = 0; i < 8; i++) {
    const size = choose.oneIn(2) ? edge(choose) : nearPages(choose, 32)
    const flags = choose.oneIn(3) ? edge(choose) : choose.below(5)
    const as = builder.name('g')
    const reserved = choose.oneIn(3) ? { reserved: [0, 0, 0, 0, 0, 0].map(() => edge(choose)) } : {}
    builder.step('create_guest_memfd', {
      vm: choose.oneIn(6) ? choose.of(['kvm', 'g0', -1, 2147483647]) : 'vm0',
      size,
      flags,
      ...reserved,
      as,
    })
    builder.step('fstat', { fd: as })
    builder.step('mmap', { fd: as, prot: 3, flags: 1, len: PAGE, offset: 0, as: `m${i}` })
    builder.step('mem_read', { map: `m${i}`, offset: 0 })
  }
}

/** Mappings of every kind of file, touched, protected, advised, locked and unmapped. */
const mappings = (builder: CaseBuilder): void => {
  start(builder, 1, 2)
  if (builder.choose.oneIn(2)) builder.other(builder.choose.of(KINDS))
  if (builder.choose.oneIn(3)) builder.anon(1 + builder.choose.below(8))
  for (let i = 0; i < 30; i++) memoryCall(builder, i < 4)
}

/** One file's pages through three mappings, as the recorded fuzz-pages. */
const pages = (builder: CaseBuilder): void => {
  const { choose } = builder
  builder.vm()
  const file = builder.gmem(24, 3)
  builder.map(file.name, 24, 3, 1, 0)
  builder.map(file.name, 8, 1, 1, 8 * PAGE)
  builder.map(file.name, 8, 3, 1, 20 * PAGE)
  for (let i = 0; i < 50; i++) {
    if (choose.oneIn(3))
      builder.step('fallocate', {
        fd: file.name,
        mode: choose.of([1, 3]),
        offset: nearPages(choose, 26),
        len: nearPages(choose, 8),
      })
    else memoryCall(builder, false)
  }
}

/** Slots with valid and hostile arguments. */
const slots = (builder: CaseBuilder): void => {
  start(builder, 2, 4)
  builder.anon(256)
  if (builder.choose.oneIn(4)) builder.other(builder.choose.of(KINDS))
  for (let i = 0; i < 40; i++) slotCall(builder)
}

/** Files, duplicates, mappings and slots made and dropped in any order. */
const lifetimes = (builder: CaseBuilder): void => {
  const { choose } = builder
  start(builder, 2, 2)
  builder.anon(16)
  for (let i = 0; i < 50; i++) {
    const what = choose.below(10)
    if (what < 3) slotCall(builder)
    else if (what < 5) memoryCall(builder, choose.oneIn(4))
    else if (what < 8) fileCall(builder)
    else if (what < 9) builder.gmem(1 + choose.below(16), 3, choose.of(builder.vms))
    else
      builder.step('close', {
        fd: choose.of([...builder.gmems.map(({ name }) => name), ...builder.vms]),
      })
  }
}

/** KVM_CHECK_EXTENSION of the numbers that say something about memory, on every kind of descriptor. */
const capabilities = (builder: CaseBuilder): void => {
  const { choose } = builder
  start(builder, 1, 1)
  builder.other(choose.of(KINDS))
  const on = ['kvm', 'kvm', 'vm0', 'vm0', 'g0', 'f0', -1]
  for (let i = 0; i < 20; i++)
    builder.step('check_extension', { on: choose.of(on), cap: choose.of(MEMORY_CAPS) as Word })
}

/** Capabilities of the document, numbers of none, and words no capability has. */
const MEMORY_CAPS = [3, 10, 16, 81, 118, 231, 232, 233, 234, 235, 236, 244, 999, -1, '0x100000003']

/** Attributes, which the recording kernel does not have, on descriptors of every kind. */
const attributes = (builder: CaseBuilder): void => {
  const { choose } = builder
  start(builder, 1, 1)
  builder.other(choose.of(KINDS))
  for (let i = 0; i < 8; i++)
    builder.step('set_memory_attributes', {
      vm: choose.of(['vm0', 'kvm', 'g0', 'f0', -1, 'vm9']),
      address: edge(choose),
      size: edge(choose),
      attributes: choose.of([0, 8, 1, 9]),
      flags: choose.of([0, 1]),
    })
}

/** fallocate at its limits. */
const falloc = (builder: CaseBuilder): void => {
  const { choose } = builder
  start(builder, 1, 2)
  for (let i = 0; i < 30; i++)
    builder.step('fallocate', {
      fd: choose.of(builder.gmems).name,
      mode: choose.oneIn(2)
        ? choose.of([1, 3])
        : choose.oneIn(9)
          ? -1
          : choose.bits([1, 2, 4, 8, 16, 32, 64, 128, 256], 4),
      offset: choose.oneIn(3) ? signedEdge(choose) : nearPages(choose, 30),
      len: choose.oneIn(3) ? signedEdge(choose) : nearPages(choose, 30),
    })
}

const BIG_SIZES = [2n ** 40n, 2n ** 44n, 2n ** 50n, 2n ** 52n, 2n ** 62n, 2n ** 63n - 4096n]

/** Files larger than any memory: their ends, holes of any length, slots and mappings far inside. */
const big = (builder: CaseBuilder): void => {
  const { choose } = builder
  builder.vm()
  builder.anon(16)
  const files = [choose.of(BIG_SIZES), choose.of(BIG_SIZES)].map((size) => {
    const as = builder.name('g')
    builder.step('create_guest_memfd', {
      vm: 'vm0',
      size: unsigned(size),
      flags: choose.of([0, 1, 3, 3]),
      as,
    })
    return { as, size }
  })
  for (let i = 0; i < 24; i++) {
    const { as: fd, size } = choose.of(files)
    // A few pages from an end, or from one of the places where something may change.
    const from = choose.of([0n, size, size, 2n ** 31n, 2n ** 32n, 2n ** 43n, 2n ** 44n, 2n ** 52n, 2n ** 63n])
    const near = from + BigInt(choose.of([-8, -2, -1, 0, 1, 3]) * PAGE + (choose.oneIn(16) ? 1 : 0))
    const offset = signed(BigInt.asIntN(64, near))
    const len = choose.of([1, 1, 2, 4, 9]) * PAGE
    switch (choose.below(6)) {
      case 0:
        builder.step('fallocate', { fd, mode: 1, offset, len })
        break
      case 1:
        builder.step('fallocate', { fd, mode: 3, offset, len: choose.oneIn(2) ? len : signedEdge(choose) })
        break
      case 2:
        builder.map(fd, len / PAGE, 3, 1, offset)
        break
      case 3:
        if (builder.maps.length === 0) break
        builder.step('mem_write', {
          map: choose.of(builder.maps).name,
          offset: choose.below(4) * PAGE,
          value: 9,
        })
        break
      case 4:
        builder.step('fstat', { fd })
        break
      default:
        builder.step('set_user_memory_region2', {
          vm: 'vm0',
          slot: choose.below(6),
          flags: 4,
          gpa: choose.below(12) * 2 ** 32,
          size: choose.oneIn(6) ? 2 ** 31 : len,
          uaddr: choose.oneIn(2) ? null : 'anon:a0',
          fd,
          offset: unsigned(BigInt.asUintN(64, near)),
        })
    }
  }
}

export const groups: Readonly<Record<string, (builder: CaseBuilder) => void>> = {
  'gen-files': files,
  'gen-gmem-files': gmemFiles,
  'gen-create': create,
  'gen-mappings': mappings,
  'gen-pages': pages,
  'gen-slots': slots,
  'gen-lifetimes': lifetimes,
  'gen-caps': capabilities,
  'gen-attributes': attributes,
  'gen-falloc': falloc,
  'gen-big': big,
}

/** `count` cases that follow from `seed`, of one group or of all in turn. */
export const generate = (seed: number, count: number, group?: string): Plan[] => {
  const names = group === undefined ? Object.keys(groups) : [group]
  return Array.from({ length: count }, (_, i) => {
    const name = names[i % names.length]
    const builder = new CaseBuilder(new Chooser(Math.imul(seed, 1_000_003) + i))
    groups[name](builder)
    return builder.plan(name, `seed-${seed}-${i}`)
  })
}
