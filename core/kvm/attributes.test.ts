// Memory attributes of a VM with two backings, exactly: mixed ranges, what a fault tells, slots served by one file.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { gpa, hva, type Pfn } from '../base/units.ts'
import type { GmemFile } from '../gmem/file.ts'
import { GmemFlag } from '../gmem/inode.ts'
import { isPrivateGfn } from './attributes.ts'
import { handleGuestFault } from './fault.ts'
import { checkInvariants } from './invariants.ts'
import { hostProfile } from './profiles.ts'
import { KvmHost } from './testing/kvm-host.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, MemFlag } from './uapi.ts'

const PAGE = 4096
const RAM = 0x80000000
const GFN = RAM / PAGE
const PAGES = 16
const SIZE = PAGES * PAGE
const PRIVATE = KVM_MEMORY_ATTRIBUTE_PRIVATE
const RESUME = { kind: 'resume' }

const machine = (flags = 0) => {
  const kvm = new KvmHost({ profile: hostProfile('x86', '7.2') })
  const { fd, vm } = kvm.createVm(1)
  const gmem = kvm.createGmem(fd, SIZE, flags)
  const file = kvm.process.fds.get(gmem) as GmemFile<unknown>
  const uaddr = kvm.anonymous(SIZE)
  const slot = { flags: MemFlag.GUEST_MEMFD, gpa: RAM, size: SIZE, uaddr, fd: gmem }
  kvm.setSlot(fd, slot)
  return {
    kvm,
    fd,
    vm,
    gmem,
    file,
    uaddr,
    slot,
    convert: (page: number, count: number, attributes: number) =>
      kvm.setAttributes(fd, RAM + page * PAGE, count * PAGE, attributes),
    touch: (page: number) => kvm.run(handleGuestFault(vm, gpa(RAM + page * PAGE), 'write')),
    leaf: (page: number) => vm.stage2.leaf(GFN + page),
    check: () => expect(checkInvariants({ host: kvm.host, vms: [vm] })).toEqual([]),
  }
}

describe('K6 mixed ranges', () => {
  test('converting a range that is partly so already unmaps only what changes kind', () => {
    const m = machine()
    m.convert(0, 4, PRIVATE)
    m.convert(8, 4, PRIVATE)
    for (let page = 0; page < PAGES; page++) m.touch(page)
    const { seq } = m.vm.invalidate
    m.convert(2, 8, PRIVATE)
    expect(m.vm.invalidate.seq).toBe(seq + 1)
    const mapped = Array.from({ length: PAGES }, (_, page) => m.leaf(page) !== null)
    expect(mapped.map((is, page) => (is ? -1 : page)).filter((page) => page >= 0)).toEqual([4, 5, 6, 7])
    m.check()
  })

  test('a range that is so already, put together of several, is a no-op', () => {
    const m = machine()
    for (const page of [3, 1, 2]) m.convert(page, 1, PRIVATE)
    const { seq } = m.vm.invalidate
    expect(m.convert(1, 3, PRIVATE)).toBe(0)
    expect(m.vm.invalidate.seq).toBe(seq)
    expect(m.convert(1, 4, PRIVATE)).toBe(0)
    expect(m.vm.invalidate.seq).toBe(seq + 1)
  })

  test('random ranges against an attribute a gfn in an array, tables included', () => {
    const range = fc.tuple(fc.nat(PAGES - 1), fc.integer({ min: 1, max: PAGES }), fc.boolean(), fc.boolean())
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
        const m = machine()
        const expected = new Array<boolean>(PAGES).fill(false)
        for (const [start, length, toPrivate, touch] of ranges) {
          const count = Math.min(length, PAGES - start)
          const changes = expected.slice(start, start + count).some((is) => is !== toPrivate)
          const { seq } = m.vm.invalidate
          expect(m.convert(start, count, toPrivate ? PRIVATE : 0)).toBe(0)
          expect(m.vm.invalidate.seq).toBe(seq + (changes ? 1 : 0))
          expected.fill(toPrivate, start, start + count)
          expect(expected.map((_, page) => isPrivateGfn(m.vm, GFN + page))).toEqual(expected)
          if (touch) expect(m.touch(start)).toEqual(RESUME)
          m.check()
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe('K8 what a memory fault tells', () => {
  const fault = { kind: 'memory_fault', errno: 'EFAULT', size: PAGE, private: true }

  test('private without a slot, in a slot without a guest_memfd, and in one whose file is gone', () => {
    const m = machine()
    m.kvm.setSlot(m.fd, { slot: 1, gpa: RAM + SIZE, size: SIZE, uaddr: m.uaddr })
    m.convert(0, 3 * PAGES, PRIVATE)
    expect(m.touch(PAGES + 1)).toEqual({ ...fault, gpa: RAM + SIZE + PAGE })
    expect(m.touch(2 * PAGES)).toEqual({ ...fault, gpa: RAM + 2 * SIZE })
    expect(m.touch(0)).toEqual(RESUME)
    m.kvm.run(m.kvm.syscalls.close(m.gmem))
    expect(m.touch(0)).toEqual({ ...fault, gpa: RAM })
    m.check()
  })

  test("the address is the page's, wherever in it the guest touched", () => {
    const m = machine()
    m.convert(PAGES, 1, PRIVATE)
    const touched = m.kvm.run(handleGuestFault(m.vm, gpa(RAM + SIZE + 0x123), 'read'))
    expect(touched).toEqual({ ...fault, gpa: RAM + SIZE })
  })

  test('a shared gfn without a slot is MMIO, in a slot over nothing EFAULT without the PRIVATE flag', () => {
    const m = machine()
    expect(m.touch(PAGES)).toEqual({ kind: 'mmio' })
    m.kvm.run(m.kvm.syscalls.munmap(m.uaddr, SIZE))
    expect(m.touch(0)).toEqual({ ...fault, gpa: RAM, private: false })
  })
})

describe('K12 a slot over a file that the host may map is served from the file alone', () => {
  test('shared and private gfns show the same folio, and the anonymous memory stays unused', () => {
    const m = machine(GmemFlag.MMAP)
    expect(m.vm.slots.byId(0)?.gmemOnly).toBe(true)
    m.touch(0)
    const pfn = m.file.inode.folio(0) as Pfn
    expect(m.leaf(0)).toMatchObject({ pfn, private: false })
    m.convert(0, 1, PRIVATE)
    expect(m.leaf(0)).toBeNull()
    m.touch(0)
    expect(m.leaf(0)).toMatchObject({ pfn, private: true })
    expect(m.kvm.process.mappedFrame(m.uaddr)).toBeNull()
    m.check()
  })

  test('a hole punched unmaps either kind', () => {
    const m = machine(GmemFlag.MMAP)
    m.convert(1, 1, PRIVATE)
    for (const page of [0, 1]) m.touch(page)
    expect(m.kvm.run(m.kvm.syscalls.fallocate(m.gmem, 3, 0, SIZE))).toBe(0)
    expect([m.leaf(0), m.leaf(1)]).toEqual([null, null])
    m.check()
  })

  test('what happens to the host memory at its userspace_addr does not concern it', () => {
    const m = machine(GmemFlag.MMAP)
    m.convert(0, 1, PRIVATE)
    m.touch(0)
    m.kvm.run(m.kvm.syscalls.store(hva(m.uaddr), Uint8Array.of(1)))
    m.kvm.run(m.kvm.syscalls.munmap(m.uaddr, SIZE))
    expect(m.leaf(0)?.pfn).toBe(m.file.inode.folio(0))
    m.check()
  })
})
