// The work of the gmem bench: what bench/native/gmem.c does on the running kernel, done on the emulated one through the
// same calls, ioctl(fd, number, bytes) and file calls. No invariants are checked; tables and trace are on.

import { gpa, hva } from '../core/base/units.ts'
import type { StoreKind } from '../core/gmem/folio-store.ts'
import { GmemFlag } from '../core/gmem/inode.ts'
import { Falloc } from '../core/host/fallocate.ts'
import { MapFlag } from '../core/host/mmap.ts'
import { Prot } from '../core/host/vma.ts'
import type { LinuxVersion } from '../core/kvm/behaviours.ts'
import { handleGuestFault } from '../core/kvm/fault.ts'
import { hostProfile } from '../core/kvm/profiles.ts'
import { KvmHost } from '../core/kvm/testing/kvm-host.ts'
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, Kvm, memoryAttributes2 } from '../core/kvm/uapi.ts'

const PAGE = 4096
const CHUNK = 2 * 2 ** 20
const SIZE = 256 * 2 ** 20
const PAGES = SIZE / PAGE
const HOST_BYTES = 384 * 2 ** 20
const CREATES = 20_000
const PAIRS = 1000
/** The timed parts of a run add up to this at least, in ms. */
const RUN_MS = 500

interface Work {
  readonly name: string
  readonly unit: string
  /** Units done by one call of `once`. */
  readonly amount: number
  /** Linux version of the emulated host; 6.18, as the native figures, when not said. */
  readonly version?: LinuxVersion
  /** Does the work once; returns the ms that its timed part took. */
  once(bench: Bench): number
}

/** A kernel to work on, and a process with one VM. */
class Bench {
  readonly kvm: KvmHost
  readonly vm: number

  constructor(store: StoreKind, version: LinuxVersion) {
    this.kvm = new KvmHost({
      profile: hostProfile('x86', version),
      bytes: HOST_BYTES,
      parameters: { gmemStore: store },
      poison: false,
    })
    this.vm = this.kvm.createVm(0).fd
  }

  gmem(vm: number, size: number, flags: number): number {
    return succeeded(this.kvm.createGmem(vm, size, flags))
  }

  range(fd: number, mode: number, offset: number, length: number): void {
    succeeded(this.kvm.run(this.kvm.syscalls.fallocate(fd, mode, offset, length)))
  }

  close(fd: number): void {
    succeeded(this.kvm.run(this.kvm.syscalls.close(fd)))
  }
}

const succeeded = (result: number): number => {
  if (result < 0) throw new Error(`a call of the bench failed with errno ${-result}`)
  return result
}

const timed = (work: () => void): number => {
  const started = performance.now()
  work()
  return performance.now() - started
}

const KEEP = Falloc.KEEP_SIZE
const PUNCH = Falloc.KEEP_SIZE | Falloc.PUNCH_HOLE

const whole =
  (first: boolean, mode: number) =>
  (bench: Bench): number => {
    const fd = bench.gmem(bench.vm, SIZE, 0)
    if (first) bench.range(fd, KEEP, 0, SIZE)
    const ms = timed(() => bench.range(fd, mode, 0, SIZE))
    bench.close(fd)
    return ms
  }

const alternate =
  (step: number) =>
  (bench: Bench): number => {
    const fd = bench.gmem(bench.vm, SIZE, 0)
    const ms = timed(() => {
      for (let at = 0; at < SIZE; at += step) {
        bench.range(fd, KEEP, at, step)
        bench.range(fd, PUNCH, at, step)
      }
    })
    bench.close(fd)
    return ms
  }

const fault =
  (allocated: boolean) =>
  (bench: Bench): number => {
    const { kvm } = bench
    const fd = bench.gmem(bench.vm, SIZE, GmemFlag.MMAP | GmemFlag.INIT_SHARED)
    if (allocated) bench.range(fd, KEEP, 0, SIZE)
    const at = succeeded(kvm.run(kvm.syscalls.mmap(SIZE, Prot.READ | Prot.WRITE, MapFlag.SHARED, fd, 0)))
    const byte = Uint8Array.of(1)
    const ms = timed(() => {
      for (let page = 0; page < PAGES; page++) {
        const address = hva(at + page * PAGE)
        if (!kvm.run(kvm.syscalls.store(address, byte)).ok) throw new Error('a store of the bench faulted')
      }
    })
    succeeded(kvm.run(kvm.syscalls.munmap(at, SIZE)))
    bench.close(fd)
    return ms
  }

const bindDelete =
  (others: number, size: number) =>
  (bench: Bench): number => {
    const { kvm } = bench
    const vm = kvm.createVm(0).fd
    const fd = bench.gmem(vm, SIZE, 0)
    const rest = bench.gmem(vm, 512 * PAGE, 0)
    const slot = (number: number, gpa: number, bytes: number, file: number, offset: number): void => {
      succeeded(kvm.setSlot(vm, { slot: number, flags: 4, gpa, size: bytes, fd: file, offset }))
    }
    for (let i = 0; i < others; i++) slot(1 + i, 4 * 2 ** 30 + i * 2 * PAGE, PAGE, rest, i * PAGE)
    const ms = timed(() => {
      for (let i = 0; i < PAIRS; i++) {
        slot(0, 0, size, fd, 0)
        slot(0, 0, 0, fd, 0)
      }
    })
    for (const open of [rest, fd, vm]) bench.close(open)
    return ms
  }

/** Work that the native program does too, under the same names. */
export const nativeWork: readonly Work[] = [
  {
    name: 'create_close',
    unit: 'files/s',
    amount: CREATES,
    once: (bench) =>
      timed(() => {
        for (let i = 0; i < CREATES; i++) bench.close(bench.gmem(bench.vm, SIZE, 0))
      }),
  },
  { name: 'fallocate_whole', unit: 'pages/s', amount: PAGES, once: whole(false, KEEP) },
  { name: 'fallocate_again', unit: 'pages/s', amount: PAGES, once: whole(true, KEEP) },
  { name: 'punch_whole', unit: 'pages/s', amount: PAGES, once: whole(true, PUNCH) },
  { name: 'alternate_pages', unit: 'calls/s', amount: 2 * PAGES, once: alternate(PAGE) },
  { name: 'alternate_2m', unit: 'pages/s', amount: 2 * PAGES, once: alternate(CHUNK) },
  { name: 'fault_fresh', unit: 'pages/s', amount: PAGES, once: fault(false) },
  { name: 'fault_allocated', unit: 'pages/s', amount: PAGES, once: fault(true) },
  { name: 'bind_delete_2m_1_other', unit: 'pairs/s', amount: PAIRS, once: bindDelete(1, CHUNK) },
  { name: 'bind_delete_2m_500_others', unit: 'pairs/s', amount: PAIRS, once: bindDelete(500, CHUNK) },
  { name: 'bind_delete_256m_1_other', unit: 'pairs/s', amount: PAIRS, once: bindDelete(1, SIZE) },
  { name: 'bind_delete_256m_500_others', unit: 'pairs/s', amount: PAIRS, once: bindDelete(500, SIZE) },
]

/** Pages converted or faulted in by one call of `once` below. */
const GUEST_PAGES = 16_384
const GUEST_BYTES = GUEST_PAGES * PAGE

/** A software-protected VM whose private memory the guest has touched as far as `touched` says. */
const guestMemory = (bench: Bench, touched: number, inPlace = false) => {
  const { kvm } = bench
  const { fd, vm } = kvm.createVm(1)
  const file = bench.gmem(fd, GUEST_BYTES, inPlace ? GmemFlag.MMAP : 0)
  const uaddr = kvm.anonymous(GUEST_BYTES)
  succeeded(kvm.setSlot(fd, { flags: 4, gpa: 0, size: GUEST_BYTES, uaddr, fd: file }))
  if (!inPlace) succeeded(kvm.setAttributes(fd, 0, GUEST_BYTES, KVM_MEMORY_ATTRIBUTE_PRIVATE))
  const touch = (page: number): void => {
    if (kvm.run(handleGuestFault(vm, gpa(page * PAGE), 'write')).kind !== 'resume')
      throw new Error('a guest fault of the bench failed')
  }
  for (let page = 0; page < touched; page++) touch(page)
  const end = (): void => {
    succeeded(kvm.run(kvm.syscalls.munmap(uaddr, GUEST_BYTES)))
    for (const open of [file, fd]) bench.close(open)
  }
  return { fd, file, touch, end }
}

/** Work with a guest in it, which the native program has not. */
export const guestWork: readonly Work[] = [
  {
    name: 'guest_fault_private',
    unit: 'pages/s',
    amount: GUEST_PAGES,
    once: (bench) => {
      const guest = guestMemory(bench, 0)
      const ms = timed(() => {
        for (let page = 0; page < GUEST_PAGES; page++) guest.touch(page)
      })
      guest.end()
      return ms
    },
  },
  {
    name: 'convert_page_and_back',
    unit: 'calls/s',
    amount: 2 * GUEST_PAGES,
    once: (bench) => {
      const guest = guestMemory(bench, GUEST_PAGES)
      const ms = timed(() => {
        for (let at = 0; at < GUEST_BYTES; at += PAGE) {
          succeeded(bench.kvm.setAttributes(guest.fd, at, PAGE, 0))
          succeeded(bench.kvm.setAttributes(guest.fd, at, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE))
        }
      })
      guest.end()
      return ms
    },
  },
  {
    name: 'convert_in_place_and_back',
    unit: 'calls/s',
    amount: 2 * GUEST_PAGES,
    version: 'next-in-place',
    once: (bench) => {
      const guest = guestMemory(bench, GUEST_PAGES, true)
      const convert = (at: number, attributes: number): void => {
        const request = memoryAttributes2(at, PAGE, attributes)
        succeeded(bench.kvm.ioctl(guest.file, Kvm.SET_MEMORY_ATTRIBUTES2, request))
      }
      const ms = timed(() => {
        for (let at = 0; at < GUEST_BYTES; at += PAGE) {
          convert(at, 0)
          convert(at, KVM_MEMORY_ATTRIBUTE_PRIVATE)
        }
      })
      guest.end()
      return ms
    },
  },
]

/** Rate of one run of a work, which is repeated until its timed parts add up to half a second. */
export const rateOf = (work: Work, store: StoreKind): number => {
  const bench = new Bench(store, work.version ?? '6.18')
  work.once(bench)
  let ms = 0
  let done = 0
  for (; ms < RUN_MS; done += work.amount) ms += work.once(bench)
  return (done / ms) * 1000
}
