// What the machine tells a person, in words, and not more often than a person can read.

import type { MachineNotice } from './api.ts'

/** Notices passed on in a second; a guest that asks in a loop must not flood the page. */
const PER_SECOND = 4

const hex = (value: number): string => `0x${value.toString(16)}`
const count = (pages: number): string => (pages === 1 ? '1 page' : `${pages} pages`)
const kind = (isPrivate: boolean): string => (isPrivate ? 'private' : 'shared')

export class Notices {
  readonly #send: (notice: MachineNotice) => void
  readonly #nowMs: () => number
  #second = -1
  #sent = 0

  /** `nowMs`: a clock in milliseconds. */
  constructor(send: (notice: MachineNotice) => void, nowMs: () => number) {
    this.#send = send
    this.#nowMs = nowMs
  }

  /** A memory-fault exit, and whether the VMM set the attribute to what the guest wanted. */
  memoryFault(vcpu: number, gpa: number, wantsPrivate: boolean, errno: string, repaired: boolean): void {
    const wanted = kind(wantsPrivate)
    const outcome = repaired
      ? `The VMM set the attribute back to ${wanted} and the guest goes on.`
      : 'The VMM refuses to convert it, so this vCPU waits: convert the page in the host panel, or accept conversions.'
    this.#pass({
      severity: repaired ? 'warning' : 'error',
      title: `Memory fault at ${hex(gpa)}`,
      detail: `vCPU ${vcpu} touched the page as ${wanted}, its attribute says ${kind(!wantsPrivate)}: KVM_RUN failed with ${errno} and KVM_EXIT_MEMORY_FAULT. ${outcome}`,
      gpa,
    })
  }

  /** The policy denied what the guest asked for. */
  refused(vcpu: number, gpa: number, size: number, share: boolean): void {
    this.#pass({
      severity: 'info',
      title: 'Conversion refused',
      detail: `vCPU ${vcpu} asked to ${share ? 'share' : 'unshare'} ${count(size / 4096)} at ${hex(gpa)}; the policy answers DENIED and nothing changed.`,
      gpa,
    })
  }

  /** A kernel task failed that nobody waits for: a bug in the emulated kernel. */
  taskFailed(task: string, error: unknown): void {
    this.#pass({
      severity: 'error',
      title: `Kernel task ${task} failed`,
      detail: `${error instanceof Error ? error.message : String(error)}. Reset the machine.`,
    })
  }

  #pass(notice: MachineNotice): void {
    const second = Math.floor(this.#nowMs() / 1000)
    if (second !== this.#second) this.#sent = 0
    this.#second = second
    if (++this.#sent <= PER_SECOND) this.#send(notice)
  }
}
