// Has the kernel of this machine perform cases, by the program in recorder.c.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Case, Step } from '../replay.ts'

/** A step to perform: its call and arguments. */
export type Request = Record<string, unknown> & { readonly op: string }

/** A case to perform. */
export interface Plan {
  readonly id: string
  readonly group: string
  readonly note?: string
  readonly steps: readonly Request[]
}

/** Arguments of each call, in the order in which the program reads them. */
const calls: Readonly<Record<string, readonly string[]>> = {
  create_vm: ['type', 'as'],
  check_extension: ['on', 'cap'],
  create_guest_memfd: ['vm', 'size', 'flags', 'reserved', 'as'],
  set_user_memory_region2: ['vm', 'slot', 'flags', 'gpa', 'size', 'uaddr', 'fd', 'offset', 'pad1', 'pad2'],
  set_user_memory_region: ['vm', 'slot', 'flags', 'gpa', 'size', 'uaddr'],
  set_memory_attributes: ['vm', 'address', 'size', 'attributes', 'flags'],
  fallocate: ['fd', 'mode', 'offset', 'len'],
  fstat: ['fd'],
  fstatfs: ['fd'],
  readlink_fd: ['fd'],
  ftruncate: ['fd', 'length'],
  read: ['fd', 'len'],
  write: ['fd', 'len'],
  pread: ['fd', 'len', 'offset'],
  pwrite: ['fd', 'len', 'offset'],
  lseek: ['fd', 'offset', 'whence'],
  fcntl: ['fd', 'cmd', 'arg'],
  fsync: ['fd'],
  close: ['fd'],
  fchmod: ['fd', 'mode'],
  dup: ['fd', 'as'],
  reopen: ['fd', 'flags', 'as'],
  open_other: ['kind', 'as'],
  mmap: ['fd', 'prot', 'flags', 'len', 'offset', 'as'],
  mmap_anon: ['len', 'as'],
  munmap: ['map', 'offset', 'len'],
  madvise: ['map', 'advice', 'offset', 'len'],
  mprotect: ['map', 'prot'],
  mlock: ['map'],
  mincore: ['map'],
  mem_read: ['map', 'offset'],
  mem_write: ['map', 'offset', 'value'],
  mem_fill: ['map', 'offset', 'len', 'value'],
  mem_check: ['map', 'offset', 'len', 'value'],
}

const text = (word: unknown): string => {
  if (word === undefined || word === null) return '-'
  return Array.isArray(word) ? word.join(',') : String(word)
}

const line = (step: Request): string => {
  const names = calls[step.op]
  if (!names) throw new Error(`the recorder does not know the call ${step.op}`)
  return `${[step.op, ...names.map((name) => text(step[name]))].join(' ')}\n`
}

/** A step with its answer, or nothing when it was left out. */
const answered = (step: Request, answer: string): Step[] => {
  if (answer === 'left out') return []
  const [ret, errno] = answer.split(' ', 2)
  // Integers that a double does not hold are strings in the document.
  const fields = answer.slice(ret.length + errno.length + 2)
  const out = JSON.parse(
    fields.replace(/:(-?\d{16,})/g, (whole, n) => (Number.isSafeInteger(+n) ? whole : `:"${n}"`)),
  )
  return [{ ...step, ret: Number(ret), errno: errno === '-' ? null : errno, out }]
}

const MAX_OUTPUT = 2 ** 30

/** The recorder program. */
export class Recorder {
  readonly #program: string

  private constructor(program: string) {
    this.#program = program
  }

  /** Compiles `source`, recorder.c, into `folder`. null: no C compiler, no KVM, or a KVM without guest_memfd. */
  static build(source: string, folder: string): Recorder | null {
    const program = join(folder, 'gmem-recorder')
    mkdirSync(folder, { recursive: true })
    const compiled = spawnSync(process.env.CC ?? 'cc', ['-O1', '-Wall', '-o', program, source])
    if (compiled.status !== 0) return null
    const recorder = new Recorder(program)
    return recorder.#works() ? recorder : null
  }

  #works(): boolean {
    try {
      const [answers] = this.record([probe])
      return answers.steps.every(({ errno }) => errno === null)
    } catch {
      return false
    }
  }

  /**
   * The cases with what each step gave here; steps that use a mapping no step made are left out. Throws when a
   * case's process ended badly.
   */
  record(plans: readonly Plan[]): Case[] {
    const input = plans.map(({ steps }) => `case\n${steps.map(line).join('')}end\n`).join('')
    const lines = execFileSync(this.#program, {
      input,
      maxBuffer: MAX_OUTPUT,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
      .toString()
      .split('\n')
    let at = 0
    return plans.map((plan) => {
      const from = at
      at = lines.findIndex((text, i) => i >= from && text.startsWith('end '))
      const answers = lines.slice(from, at++)
      if (lines[at - 1] !== 'end 0' || answers.length !== plan.steps.length)
        throw new Error(
          `${plan.id}: '${lines[at - 1]}' after ${answers.length} of ${plan.steps.length} steps`,
        )
      return { ...plan, steps: plan.steps.flatMap((step, i) => answered(step, answers[i])) }
    })
  }
}

/** What every case needs: a default VM with a guest_memfd that the host may map. */
const probe: Plan = {
  id: 'probe',
  group: 'probe',
  steps: [
    { op: 'create_vm', type: 0, as: 'vm0' },
    { op: 'create_guest_memfd', vm: 'vm0', size: 4096, flags: 3, as: 'g0' },
  ],
}
