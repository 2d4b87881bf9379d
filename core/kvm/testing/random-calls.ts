// Random call sequences on the emulated kernel: each answer is compared with the reference model's (reference.ts), and
// every invariant is checked after each call.

import fc from 'fast-check'
import { errnoName, KernelError } from '../../base/errno.ts'
import { readU64, writeU64 } from '../../base/u64.ts'
import { hva, type Pfn } from '../../base/units.ts'
import { GmemFile } from '../../gmem/file.ts'
import type { StoreKind } from '../../gmem/folio-store.ts'
import { OpenFlag } from '../../host/file.ts'
import type { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { memoryFailure } from '../../host/memory-failure.ts'
import { MapFlag } from '../../host/mmap.ts'
import type { Access } from '../../host/process.ts'
import type { Syscalls } from '../../host/syscalls.ts'
import { Prot } from '../../host/vma.ts'
import type { LinuxVersion } from '../behaviours.ts'
import type { FaultResult } from '../fault.ts'
import { checkInvariants } from '../invariants.ts'
import { type HostProfile, hostProfile } from '../profiles.ts'
import { Kvm } from '../uapi.ts'
import type { Vm } from '../vm.ts'
import { TestGuest } from './guest.ts'
import { KvmHost, noVcpus } from './kvm-host.ts'
import { type Answer, type Call, FILES, PAGES, Reference, SLOT_IDS, type VmIndex } from './reference.ts'

const PAGE = 4096
const READ_WRITE = Prot.READ | Prot.WRITE
const MADV_DONTNEED = 4

/** A kernel with the two VMs and the arena that the calls speak of. */
class Subject {
  readonly #kvm: KvmHost
  readonly #guests: readonly [TestGuest, TestGuest]
  readonly #vms: readonly { fd: number; vm: Vm }[]
  readonly #arena: number
  readonly #fds: number[] = new Array(FILES).fill(-1)
  /** Addresses of the files' mappings, with their lengths; 0 bytes: none. */
  readonly #mappings = Array.from({ length: FILES }, () => ({ at: 0, length: 0 }))
  readonly #pipe: readonly [read: number, write: number]

  constructor(memory: HostMemory, profile: HostProfile, gmemStore: StoreKind) {
    const guests: [TestGuest, TestGuest] = [new TestGuest(), new TestGuest()]
    memory.reset()
    const hooks = {
      ...noVcpus,
      *remoteFlush(vm: Vm): KernelTask<void> {
        for (const guest of guests) yield* guest.hooks.remoteFlush(vm)
      },
    }
    this.#guests = guests
    this.#kvm = new KvmHost({ memory, profile, parameters: { gmemStore }, hooks })
    this.#vms = [0, 1].map((type) => this.#kvm.createVm(type))
    this.#arena = this.#kvm.anonymous(PAGES * PAGE)
    const ends = this.#kvm.syscalls.pipe2(OpenFlag.NONBLOCK)
    if (typeof ends === 'number') throw new Error('no pipe')
    this.#pipe = ends
  }

  shuffle(seed: number): void {
    this.#kvm.host.scheduler.setMode({ kind: 'shuffle', seed })
  }

  /** What is wrong now, as text. */
  violations(): string[] {
    const { host, system } = this.#kvm
    const stale = this.#vms.flatMap(({ vm }, i) => this.#guests[i].stale(vm))
    return [...checkInvariants({ host, vms: system.vms, poisoned: true }), ...stale]
  }

  perform(call: Call): Answer {
    const { syscalls } = this.#kvm
    switch (call.kind) {
      case 'create':
        return this.#create(call)
      case 'close':
        return answer(this.#close(call.file))
      case 'map':
        return this.#map(call.file)
      case 'unmap':
        this.#unmap(call.file)
        return { value: 0 }
      case 'region':
        return answer(this.#region(call))
      case 'attributes': {
        const { fd } = this.#vms[call.vm]
        return answer(this.#kvm.setAttributes(fd, call.gfn * PAGE, call.pages * PAGE, call.value))
      }
      case 'attributes2':
        return this.#attributes2(call)
      case 'fallocate': {
        const [offset, length] = [call.start * PAGE, call.pages * PAGE]
        return answer(this.#run(syscalls.fallocate(this.#fds[call.file], call.mode, offset, length)))
      }
      case 'dontneed':
        return answer(
          this.#run(syscalls.madvise(this.#arena + call.start * PAGE, call.pages * PAGE, MADV_DONTNEED)),
        )
      case 'host':
        return this.#access(syscalls, call.file, call.page, call.value)
      case 'guest': {
        const guest = this.#guests[call.vm]
        return exitAnswer(this.#run(guest.touch(this.#vms[call.vm].vm, call.gfn * PAGE, call.value)))
      }
      case 'pin': {
        const taken = this.#run(
          syscalls.vmsplice(this.#pipe[1], this.#address(call.file, call.page), PAGE, 0),
        )
        return taken === PAGE ? { value: 1 } : answer(taken)
      }
      case 'unpin':
        while (syscalls.read(this.#pipe[0], PAGE) > 0);
        return { value: 0 }
      case 'poison':
        this.#poison(call.file, call.page)
        return { value: 0 }
      case 'child': {
        const child = this.#run(syscalls.fork())
        const seen = this.#access(child, call.file, call.page, call.value)
        this.#run(child.exit())
        return seen
      }
    }
  }

  #run<T>(task: KernelTask<T>): T {
    return this.#kvm.run(task)
  }

  #close(file: number): number {
    const result = this.#run(this.#kvm.syscalls.close(this.#fds[file]))
    this.#fds[file] = -1
    return result
  }

  #create({ file, vm, pages, flags }: Extract<Call, { kind: 'create' }>): Answer {
    this.#unmap(file)
    this.#close(file)
    const fd = this.#kvm.createGmem(this.#vms[vm].fd, pages * PAGE, flags)
    this.#fds[file] = fd
    return fd < 0 ? answer(fd) : { value: 0 }
  }

  #map(file: number): Answer {
    const { syscalls } = this.#kvm
    const stat = syscalls.fstat(this.#fds[file])
    if (typeof stat === 'number') return answer(stat)
    this.#unmap(file)
    const at = this.#run(syscalls.mmap(stat.size, READ_WRITE, MapFlag.SHARED, this.#fds[file], 0))
    if (at < 0) return answer(at)
    this.#mappings[file] = { at, length: stat.size }
    return { value: 0 }
  }

  #unmap(file: number): void {
    const mapping = this.#mappings[file]
    if (mapping.length > 0) this.#run(this.#kvm.syscalls.munmap(mapping.at, mapping.length))
    mapping.length = 0
  }

  #region(call: Extract<Call, { kind: 'region' }>): number {
    return this.#kvm.setSlot(this.#vms[call.vm].fd, {
      slot: call.slot,
      flags: call.flags,
      gpa: call.gfn * PAGE,
      size: call.pages * PAGE,
      uaddr: this.#arena + call.host * PAGE,
      fd: this.#fds[call.file],
      offset: call.offset * PAGE,
    })
  }

  #attributes2(call: Extract<Call, { kind: 'attributes2' }>): Answer {
    const view = new DataView(new ArrayBuffer(128))
    writeU64(view, 0, call.start * PAGE)
    writeU64(view, 8, call.pages * PAGE)
    writeU64(view, 16, call.value)
    const bytes = new Uint8Array(view.buffer)
    const result = this.#kvm.ioctl(this.#fds[call.file], Kvm.SET_MEMORY_ATTRIBUTES2, bytes)
    const failed = answer(result)
    return 'errno' in failed && failed.errno === 'EAGAIN'
      ? { ...failed, at: readU64(view, 32) / PAGE }
      : failed
  }

  /** Where a page of the arena (null) or of a file's mapping lies; behind the end of the mapping: page 0, never mapped. */
  #address(file: number | null, page: number): number {
    if (file === null) return this.#arena + page * PAGE
    const { at, length } = this.#mappings[file]
    return page * PAGE < length ? at + page * PAGE : 0
  }

  #access(by: Syscalls, file: number | null, page: number, value: number | null): Answer {
    const at = hva(this.#address(file, page))
    const access: Access<unknown> =
      value === null ? this.#run(by.load(at, 1)) : this.#run(by.store(at, Uint8Array.of(value)))
    if (!access.ok) return { signal: access.signal }
    return { value: value ?? (access.value as Uint8Array)[0] }
  }

  /** As a machine check would report it: of the frame, wherever it is mapped. A frame fails once. */
  #poison(file: number, page: number): void {
    const open = this.#fds[file] < 0 ? null : this.#kvm.process.fds.lookup(this.#fds[file])
    const pfn: Pfn | null = open instanceof GmemFile ? open.inode.folio(page) : null
    if (pfn === null) return
    try {
      this.#run(memoryFailure(this.#kvm.host, pfn))
    } catch (error) {
      if (!(error instanceof KernelError && error.errno === 'EHWPOISON')) throw error
    }
  }
}

const answer = (result: number): Answer => (result < 0 ? { errno: errnoName(-result) } : { value: result })

const exitAnswer = (result: number | FaultResult): Answer => {
  if (typeof result === 'number') return { value: result }
  switch (result.kind) {
    case 'mmio':
      return { exit: 'mmio' }
    case 'memory_fault':
      return { exit: 'memory_fault', errno: result.errno, private: result.private }
    default:
      throw new Error(`the guest left with ${result.kind}`)
  }
}

const page = fc.nat(PAGES - 1)
const length = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constantFrom(0, 1, PAGES))
const file = fc.nat(FILES - 1)
const place = fc.option(file, { freq: 2 })
const byte = fc.option(fc.integer({ min: 1, max: 100 }), { freq: 2 })
const vm = fc.constantFrom<VmIndex>(0, 1, 1, 1)
const attribute = fc.constantFrom(0, 8, 8, 0, 1)

/** Calls by kind, with how often each comes. */
const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      file,
      vm,
      pages: fc.constantFrom(PAGES, PAGES, 8, 0),
      flags: fc.constantFrom(0, 1, 3, 3, 2, 4),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('close' as const, 'unmap' as const), file }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('map' as const), file }) },
  {
    weight: 5,
    arbitrary: fc
      .record({
        kind: fc.constant('region' as const),
        vm,
        slot: fc.nat(SLOT_IDS - 1),
        flags: fc.constantFrom(0, 4, 4, 4, 2, 1, 6, 8),
        gfn: page,
        pages: length,
        host: fc.nat(PAGES / 2),
        file,
        offset: fc.constantFrom(0, 0, 0, 2, 5, 30),
      })
      .map((region) => ({ ...region, pages: Math.min(region.pages, PAGES - region.host) })),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('attributes' as const),
      vm,
      gfn: page,
      pages: length,
      value: attribute,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('attributes2' as const),
      file,
      start: page,
      pages: length,
      value: attribute,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('fallocate' as const),
      file,
      mode: fc.constantFrom(1, 3, 3, 0),
      start: page,
      pages: length,
    }),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ kind: fc.constant('dontneed' as const), start: page, pages: length })
      .map((range) => ({ ...range, pages: Math.min(range.pages, PAGES - range.start) })),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('host' as const), file: place, page, value: byte }),
  },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('guest' as const), vm, gfn: page, value: byte }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pin' as const), file: place, page }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'unpin' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('poison' as const), file, page }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('child' as const), file: place, page, value: byte }),
  },
)

/** Sequences of at most `maxLength` calls with the seed of their schedule. */
export const sequences = (maxLength: number): fc.Arbitrary<[calls: Call[], seed: number]> =>
  fc.tuple(fc.array(call, { maxLength, size: 'max' }), fc.integer())

/** Calls, the kernel they are made on, and the seed of their schedule. */
export interface KeptSequence {
  readonly version: LinuxVersion
  readonly store: StoreKind
  readonly seed: number
  readonly calls: readonly Call[]
}

/** Runs a sequence on kernel and model; throws at the first answer that differs or invariant that breaks. */
export const runSequence = (memory: HostMemory, { version, store, seed, calls }: KeptSequence): void => {
  const profile = hostProfile('x86', version)
  const model = new Reference(profile)
  const subject = new Subject(memory, profile, store)
  subject.shuffle(seed)
  for (const [i, call] of calls.entries()) {
    const expected = JSON.stringify(model.answer(call))
    const actual = JSON.stringify(subject.perform(call))
    const violations = subject.violations()
    if (actual === expected && violations.length === 0) continue
    throw new Error(
      [`call ${i} ${JSON.stringify(call)}`, `expected ${expected}`, `answered ${actual}`, ...violations].join(
        '\n  ',
      ),
    )
  }
}
