// Replays recorded call sequences (vectors/README.md) against the emulated kernel and compares every result.

import { errnoName } from '../../base/errno.ts'
import { asUnsigned, numberFromWord } from '../../base/u64.ts'
import { hva, PAGE_SIZE } from '../../base/units.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { SpecialKind } from '../../host/special-files.ts'
import type { KvmParameters } from '../parameters.ts'
import type { HostProfile } from '../profiles.ts'
import { createGuestMemfd, Kvm, memoryRegion2 } from '../uapi.ts'
import { KvmHost } from './kvm-host.ts'

type Word = number | string | null
/** One recorded step: its call, arguments and results. */
export type Step = Record<string, unknown> & {
  readonly op: string
  readonly ret: number
  readonly errno: string | null
  readonly out: Record<string, unknown>
}

export interface Case {
  readonly id: string
  readonly group: string
  readonly note?: string
  readonly steps: readonly Step[]
}

/** What a case did differently first, or null when it did all the same. */
export interface Difference {
  readonly step: number
  readonly call: Step
  readonly expected: unknown
  readonly actual: unknown
}

interface Outcome {
  readonly ret: number
  readonly errno: string | null
  readonly out: Record<string, unknown>
}

const HOST_BYTES = 64 * 2 ** 20
/** A descriptor number that is never open: what the name of a closed descriptor stands for. */
const CLOSED = 0x7000_0000
const ONE_MIB = 2 ** 20

/** Checks that a document is a list of cases; throws with what is wrong. */
export const parseCases = (document: unknown): Case[] => {
  if (!Array.isArray(document)) throw new Error('the document is not an array of cases')
  for (const [i, entry] of document.entries()) {
    if (typeof entry?.id !== 'string' || typeof entry.group !== 'string' || !Array.isArray(entry.steps))
      throw new Error(`case ${i} lacks id, group or steps`)
    for (const step of entry.steps)
      if (typeof step?.op !== 'string' || typeof step.ret !== 'number' || typeof step.out !== 'object')
        throw new Error(`${entry.id} has a step without op, ret or out`)
  }
  return document
}

/** Replays cases, each on a host of its own; the hosts take turns on one memory. */
export class Replayer {
  readonly #profile: HostProfile
  readonly #parameters: Partial<KvmParameters>
  readonly #memory = HostMemory.create(HOST_BYTES)

  constructor(profile: HostProfile, parameters: Partial<KvmParameters> = {}) {
    this.#profile = profile
    this.#parameters = parameters
  }

  /** The first difference of a case, or null. */
  replay(recorded: Case): Difference | null {
    this.#memory.reset()
    const run = new CaseRun(
      new KvmHost({ profile: this.#profile, parameters: this.#parameters, memory: this.#memory }),
    )
    for (const [i, step] of recorded.steps.entries()) {
      const actual = run.perform(step)
      const expected = { ret: step.ret, errno: step.errno, out: step.out }
      if (JSON.stringify(sorted(actual)) !== JSON.stringify(sorted(expected)))
        return { step: i, call: step, expected, actual }
    }
    return null
  }
}

const sorted = (outcome: Outcome): unknown => ({
  ret: outcome.ret,
  errno: outcome.errno,
  out: Object.fromEntries(Object.entries(outcome.out).sort(([a], [b]) => (a < b ? -1 : 1))),
})

/** An integer of the document: a number, or a string where a double is not exact. */
const integer = (word: unknown): number => {
  if (typeof word === 'number') return word
  if (typeof word === 'string') return numberFromWord(BigInt(word))
  return 0
}

/** A u64 result as the document writes it. */
const documentInteger = (value: number): Word =>
  Number.isSafeInteger(value) ? value : BigInt(value).toString()

interface Mapping {
  readonly start: number
  readonly length: number
}

class CaseRun {
  readonly #kvm: KvmHost
  readonly #descriptors = new Map<string, number>()
  readonly #mappings = new Map<string, Mapping>()
  readonly #inodes = new Map<number, number>()

  constructor(kvm: KvmHost) {
    this.#kvm = kvm
    this.#descriptors.set('kvm', kvm.kvm)
  }

  perform(step: Step): Outcome {
    const operation = operations[step.op]
    if (!operation) throw new Error(`the replayer does not know the call ${step.op}`)
    return operation(this, step)
  }

  get kvm(): KvmHost {
    return this.#kvm
  }

  /** A descriptor argument: a name, or a raw number. */
  fd(name: unknown): number {
    if (typeof name === 'number') return name
    return this.#descriptors.get(String(name)) ?? CLOSED
  }

  mapping(name: unknown): Mapping {
    const mapping = this.#mappings.get(String(name))
    if (!mapping) throw new Error(`the case uses mapping ${name}, which was never made`)
    return mapping
  }

  /** Records what a call made. */
  made(step: Step, fd: number): Outcome {
    if (fd < 0) return failed(fd)
    this.#descriptors.set(String(step.as), fd)
    return done()
  }

  mapped(step: Step, start: number, length: number): Outcome {
    if (start < 0) return failed(start)
    this.#mappings.set(String(step.as), { start, length })
    return done()
  }

  closed(name: unknown): void {
    if (typeof name === 'string') this.#descriptors.set(name, CLOSED)
  }

  /** A user address: null, an integer, or a mapping's start with an offset. */
  address(word: unknown): number {
    if (typeof word !== 'string' || !/^(anon|map):/.test(word)) return integer(word)
    const [name, offset] = word.slice(word.indexOf(':') + 1).split('+')
    return this.mapping(name).start + Number(offset ?? 0)
  }

  /** Inode numbers count up from 0 in order of first sight. */
  inode(number: number): number {
    const known = this.#inodes.get(number) ?? this.#inodes.size
    this.#inodes.set(number, known)
    return known
  }
}

const done = (ret = 0, out: Record<string, unknown> = {}): Outcome => ({ ret, errno: null, out })
const failed = (result: number): Outcome => ({ ret: -1, errno: errnoName(-result), out: {} })
const simple = (result: number): Outcome => (result < 0 ? failed(result) : done(result))

const words = (view: DataView, at: number, list: unknown): void => {
  if (!Array.isArray(list)) return
  for (const [i, word] of list.entries()) view.setBigUint64(at + 8 * i, BigInt(word), true)
}

type Operation = (run: CaseRun, step: Step) => Outcome

/** Runs an access and turns a fault into the document's form. */
const access = (
  run: CaseRun,
  step: Step,
  offset: number,
  length: number,
  bytes: Uint8Array | null,
): { outcome: Outcome } | { value: Uint8Array } => {
  const at = hva(run.mapping(step.map).start + offset)
  const { kvm } = run
  const result = bytes ? kvm.run(kvm.syscalls.store(at, bytes)) : kvm.run(kvm.syscalls.load(at, length))
  if (!result.ok)
    return { outcome: { ret: -1, errno: null, out: { signal: result.signal, code: result.code } } }
  return { value: typeof result.value === 'number' ? new Uint8Array() : result.value }
}

const operations: Record<string, Operation> = {
  create_vm: (run, step) => run.made(step, run.kvm.ioctl(run.kvm.kvm, Kvm.CREATE_VM, integer(step.type))),
  check_extension: (run, step) =>
    simple(run.kvm.ioctl(run.fd(step.on), Kvm.CHECK_EXTENSION, integer(step.cap))),
  create_guest_memfd: (run, step) => {
    const bytes = createGuestMemfd(integer(step.size), 0)
    const view = new DataView(bytes.buffer)
    view.setBigUint64(8, BigInt(step.flags as Word as string), true)
    words(view, 16, step.reserved)
    return run.made(step, run.kvm.ioctl(run.fd(step.vm), Kvm.CREATE_GUEST_MEMFD, bytes))
  },
  set_user_memory_region2: (run, step) => {
    const bytes = region(run, step)
    const view = new DataView(bytes.buffer)
    view.setUint32(44, integer(step.pad1), true)
    words(view, 48, step.pad2)
    return simple(run.kvm.ioctl(run.fd(step.vm), Kvm.SET_USER_MEMORY_REGION2, bytes))
  },
  set_user_memory_region: (run, step) =>
    simple(run.kvm.ioctl(run.fd(step.vm), Kvm.SET_USER_MEMORY_REGION, region(run, step).slice(0, 32))),
  set_memory_attributes: (run, step) => {
    const view = new DataView(new ArrayBuffer(32))
    words(view, 0, [step.address, step.size, step.attributes, step.flags])
    return simple(run.kvm.ioctl(run.fd(step.vm), Kvm.SET_MEMORY_ATTRIBUTES, new Uint8Array(view.buffer)))
  },
  fallocate: (run, step) => {
    const { kvm } = run
    const task = kvm.syscalls.fallocate(
      run.fd(step.fd),
      integer(step.mode),
      integer(step.offset),
      integer(step.len),
    )
    return simple(kvm.run(task))
  },
  fstat: (run, step) => {
    const stat = run.kvm.syscalls.fstat(run.fd(step.fd))
    if (typeof stat === 'number') return failed(stat)
    return done(0, {
      st_size: documentInteger(stat.size),
      st_blocks: stat.blocks,
      st_blksize: stat.blockSize,
      st_mode: stat.mode,
      st_nlink: stat.links,
      ino: run.inode(stat.inode),
    })
  },
  fstatfs: (run, step) => {
    const stat = run.kvm.syscalls.fstatfs(run.fd(step.fd))
    if (typeof stat === 'number') return failed(stat)
    return done(0, {
      f_type: stat.type,
      f_bsize: stat.blockSize,
      f_blocks: stat.blocks,
      f_namelen: stat.nameLength,
    })
  },
  readlink_fd: (run, step) => {
    const name = run.kvm.syscalls.readlinkFd(run.fd(step.fd))
    return typeof name === 'number' ? failed(name) : done(0, { name })
  },
  ftruncate: (run, step) =>
    simple(run.kvm.run(run.kvm.syscalls.ftruncate(run.fd(step.fd), integer(step.length)))),
  fchmod: (run, step) => simple(run.kvm.syscalls.fchmod(run.fd(step.fd), integer(step.mode))),
  read: (run, step) => simple(run.kvm.syscalls.read(run.fd(step.fd), integer(step.len))),
  write: (run, step) => simple(run.kvm.syscalls.write(run.fd(step.fd), integer(step.len))),
  pread: (run, step) =>
    simple(run.kvm.syscalls.pread(run.fd(step.fd), integer(step.len), integer(step.offset))),
  pwrite: (run, step) =>
    simple(run.kvm.syscalls.pwrite(run.fd(step.fd), integer(step.len), integer(step.offset))),
  lseek: (run, step) =>
    simple(run.kvm.syscalls.lseek(run.fd(step.fd), integer(step.offset), integer(step.whence))),
  fcntl: (run, step) => simple(run.kvm.syscalls.fcntl(run.fd(step.fd), integer(step.cmd), integer(step.arg))),
  fsync: (run, step) => simple(run.kvm.syscalls.fsync(run.fd(step.fd))),
  close: (run, step) => {
    const outcome = simple(run.kvm.run(run.kvm.syscalls.close(run.fd(step.fd))))
    run.closed(step.fd)
    return outcome
  },
  dup: (run, step) => run.made(step, run.kvm.syscalls.dup(run.fd(step.fd))),
  reopen: (run, step) => run.made(step, run.kvm.syscalls.reopen(run.fd(step.fd), integer(step.flags))),
  open_other: (run, step) => {
    const { syscalls } = run.kvm
    const kind = String(step.kind)
    if (kind === 'memfd') return run.made(step, syscalls.memfd(kind, ONE_MIB))
    if (kind === 'memfd_secret') return run.made(step, syscalls.memfdSecret(ONE_MIB))
    return run.made(step, syscalls.openSpecial(kind as SpecialKind))
  },
  mmap: (run, step) => {
    const { kvm } = run
    const length = integer(step.len)
    const task = kvm.syscalls.mmap(
      length,
      integer(step.prot),
      integer(step.flags),
      run.fd(step.fd),
      integer(step.offset),
    )
    return run.mapped(step, kvm.run(task), length)
  },
  mmap_anon: (run, step) => run.mapped(step, run.kvm.anonymous(integer(step.len)), integer(step.len)),
  munmap: (run, step) => {
    const { start, length } = run.mapping(step.map)
    const at = start + integer(step.offset)
    const size = step.len === undefined ? length : integer(step.len)
    return simple(run.kvm.run(run.kvm.syscalls.munmap(at, size)))
  },
  madvise: (run, step) => {
    const at = run.mapping(step.map).start + integer(step.offset)
    return simple(run.kvm.run(run.kvm.syscalls.madvise(at, integer(step.len), integer(step.advice))))
  },
  mprotect: (run, step) => {
    const { start, length } = run.mapping(step.map)
    return simple(run.kvm.run(run.kvm.syscalls.mprotect(start, length, integer(step.prot))))
  },
  mlock: (run, step) => {
    const { start, length } = run.mapping(step.map)
    return simple(run.kvm.run(run.kvm.syscalls.mlock(start, length)))
  },
  mincore: (run, step) => {
    const { start, length } = run.mapping(step.map)
    const pages = run.kvm.run(run.kvm.syscalls.mincore(start, length))
    if (typeof pages === 'number') return failed(pages)
    return done(0, { resident: pages.map((page) => (page ? '1' : '0')).join('') })
  },
  mem_read: (run, step) => {
    const result = access(run, step, integer(step.offset), 1, null)
    return 'outcome' in result ? result.outcome : done(0, { value: result.value[0] })
  },
  mem_write: (run, step) => {
    const result = access(run, step, integer(step.offset), 1, Uint8Array.of(integer(step.value)))
    return 'outcome' in result ? result.outcome : done()
  },
  mem_fill: (run, step) => {
    const bytes = new Uint8Array(asUnsigned(integer(step.len))).fill(integer(step.value))
    const result = access(run, step, integer(step.offset), bytes.length, bytes)
    return 'outcome' in result ? result.outcome : done()
  },
  mem_check: (run, step) => {
    // In order, up to the first byte that differs: pages after it must not be touched.
    const offset = integer(step.offset)
    const end = offset + integer(step.len)
    for (let at = offset; at < end; ) {
      const length = Math.min(end - at, PAGE_SIZE - (at % PAGE_SIZE))
      const result = access(run, step, at, length, null)
      if ('outcome' in result) return result.outcome
      if (result.value.some((byte) => byte !== step.value)) return done(0, { equal: false })
      at += length
    }
    return done(0, { equal: true })
  },
}

/** The bytes of struct kvm_userspace_memory_region2 of a step. */
const region = (run: CaseRun, step: Step): Uint8Array =>
  memoryRegion2({
    slot: integer(step.slot),
    flags: integer(step.flags),
    guestPhysAddr: integer(step.gpa),
    memorySize: integer(step.size),
    userspaceAddr: run.address(step.uaddr),
    guestMemfd: step.fd === undefined ? -1 : run.fd(step.fd),
    guestMemfdOffset: integer(step.offset),
  })

/** Text of a difference, for people. */
export const describeDifference = (recorded: Case, difference: Difference): string => {
  const { ret: _ret, errno: _errno, out: _out, op, ...args } = difference.call
  return [
    `${recorded.id} step ${difference.step}: ${op} ${JSON.stringify(args)}`,
    `  expected ${JSON.stringify(difference.expected)}`,
    `  got      ${JSON.stringify(difference.actual)}`,
  ].join('\n')
}
