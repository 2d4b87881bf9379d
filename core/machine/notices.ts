// What the machine tells a person, in words, and not more often than a person can read.

import { PAGE_SIZE } from '../base/units.ts'
import { type DriverFault, GuestMemoryFault, type Unreachable } from '../devices/virtio/device-memory.ts'
import type { VmmNotices } from '../vmm/vcpu-hooks.ts'
import type { MachineNotice } from './api.ts'

/** Notices passed on in a second; a guest that asks in a loop must not flood the page. */
const PER_SECOND = 4

const hex = (value: number): string => `0x${value.toString(16)}`
const count = (pages: number): string => (pages === 1 ? '1 page' : `${pages} pages`)
const kind = (isPrivate: boolean): string => (isPrivate ? 'private' : 'shared')

/** What keeps a device from guest memory, for a person. */
const unreachable = ({ gpa, why, error }: GuestMemoryFault): string => {
  switch (why) {
    case 'outside':
      return `The driver gave it the address ${hex(gpa)}, which is no guest RAM.`
    case 'private':
      return `It reached for guest memory at ${hex(gpa)}, which is private: the VMM's access failed with ${error}.`
    case 'poisoned':
      return `It reached for guest memory at ${hex(gpa)}, which has a memory error: the VMM's access failed with ${error}.`
    case 'unbacked':
      return `It reached for guest memory at ${hex(gpa)}, for which the host had no frame: the VMM's access failed with ${error}.`
  }
}

/** What a person can do about it, where something can be done. */
const remedies: Partial<Record<Unreachable, string>> = {
  private:
    ' Queues and buffers must be shared with the host: have the guest share the page, or start the machine with shared memory.',
  poisoned: ' Punch the page in the host panel first.',
  unbacked: ' Release the memory pressure first.',
}

export class Notices implements VmmNotices {
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
      detail: `vCPU ${vcpu} asked to ${share ? 'share' : 'unshare'} ${count(size / PAGE_SIZE)} at ${hex(gpa)}; the policy answers DENIED and nothing changed.`,
      gpa,
    })
  }

  /** The kernel refused a conversion that the policy allows. */
  blocked(vcpu: number, gpa: number, size: number, toPrivate: boolean, errno: string, page: number): void {
    const what = `KVM could not make ${count(size / PAGE_SIZE)} at ${hex(gpa)} ${kind(toPrivate)} for vCPU ${vcpu}`
    const why =
      errno === 'EAGAIN'
        ? `somebody still holds the page at ${hex(page)}, which error_offset names. Nothing changed and the guest may ask again: unpin that page in the host panel, or drain the LRU batches.`
        : `it stopped at ${hex(page)}. Nothing changed.`
    this.#pass({
      severity: 'warning',
      title: `Conversion failed with ${errno}`,
      detail: `${what}: ${why}`,
      gpa: page,
    })
  }

  /** Gunyah could not lend the page that a vCPU touched. */
  pageFault(vcpu: number, gpa: number, errno: string): void {
    const outcome =
      errno === 'EPERM'
        ? 'A process of the host maps the page, or the binding is read-only, so it cannot be lent: the vCPU waits. Unpin the page in the host panel.'
        : 'Nothing is bound there any more: the guest takes an access fault.'
    this.#pass({
      severity: errno === 'EPERM' ? 'error' : 'warning',
      title: `Page fault at ${hex(gpa)}`,
      detail: `vCPU ${vcpu} touched a page that could not be demand paged: GUNYAH_VCPU_RUN exited with PAGE_FAULT, attempt ${errno}. ${outcome}`,
      gpa,
    })
  }

  /** The host has no frame left for what a vCPU touched. */
  outOfMemory(vcpu: number, gpa: number | null): void {
    this.#pass({
      severity: 'error',
      title: 'The host is out of memory',
      detail: `KVM_RUN of vCPU ${vcpu} failed with ENOMEM: no frame is left for ${gpa === null ? 'a page table' : `the page at ${hex(gpa)}`}, and guest memory may be neither swapped nor reclaimed to make room. The vCPU waits until memory comes free: release the memory pressure, or punch pages that the guest no longer needs.`,
      ...(gpa === null ? {} : { gpa }),
    })
  }

  /** A vCPU touched a page with a memory error. */
  poisoned(vcpu: number, gpa: number | null): void {
    this.#pass({
      severity: 'error',
      title: gpa === null ? 'Poisoned page' : `Poisoned page at ${hex(gpa)}`,
      detail: `KVM_RUN of vCPU ${vcpu} failed with EHWPOISON: the frame behind the page has a memory error, and its contents are lost. The vCPU waits until the page has another frame: punch it in the host panel, and it reads as zeroes.`,
      ...(gpa === null ? {} : { gpa }),
    })
  }

  /** A device stopped over what its driver gave it. */
  deviceStopped(device: string, fault: DriverFault): void {
    const memory = fault instanceof GuestMemoryFault ? fault : null
    const remedy = memory === null ? '' : (remedies[memory.why] ?? '')
    const cause = memory ? unreachable(memory) : `The driver broke the rules: ${fault.message}.`
    this.#pass({
      severity: 'error',
      title: `${device} needs a reset`,
      detail: `${cause} The device set DEVICE_NEEDS_RESET and does nothing until its driver resets it.${remedy}`,
      ...(memory ? { gpa: memory.gpa } : {}),
    })
  }

  /** What is behind the disk failed; the guest saw an I/O error. */
  diskFailed(error: Error): void {
    this.#pass({
      severity: 'error',
      title: 'A disk request failed',
      detail: `${error.message}. The guest got an I/O error.`,
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
