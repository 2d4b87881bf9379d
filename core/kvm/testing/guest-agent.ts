// A guest that does as a test says: routines of real guest code on a real vCPU that load, store and ask for conversions.
//
// A routine gets its arguments in a1 to a3, as a loader would set them by KVM_SET_ONE_REG, and ends with a store to a
// doorbell where nothing is mapped: the KVM_EXIT_MMIO carries its result.

import { Errno } from '../../base/errno.ts'
import { MpState } from '../../hart/mp-state.ts'
import { OneReg } from '../one-reg.ts'
import { ExitReason, Kvm } from '../uapi.ts'
import type { InlineMachine } from './inline-vcpus.ts'

const DOORBELL = 0x1000
/** Registers of the doorbell: the result of a routine; then what a conversion is asked with, and its answer. */
const Doorbell = { RESULT: 0, GPA: 8, SIZE: 16, WISH: 24, ANSWER: 32 } as const

const report = `
  li s0, ${DOORBELL}
  sd a4, ${Doorbell.RESULT}(s0)
`
const routines = {
  fill: `
    loop:
      sd a3, 0(a1)
      addi a1, a1, 8
      addi a2, a2, -8
      bnez a2, loop
      li a4, 0
    ${report}`,
  compare: `
      li a4, 0
    loop:
      ld t0, 0(a1)
      bne t0, a3, differs
      addi a1, a1, 8
      addi a2, a2, -8
      bnez a2, loop
      j end
    differs:
      mv a4, a1
    end:
    ${report}`,
  load: `
      lbu a4, 0(a1)
    ${report}`,
  store: `
      sb a3, 0(a1)
      li a4, 0
    ${report}`,
  ask: `
      li s0, ${DOORBELL}
      sd a1, ${Doorbell.GPA}(s0)
      sd a2, ${Doorbell.SIZE}(s0)
      sd a3, ${Doorbell.WISH}(s0)
      ld a4, ${Doorbell.ANSWER}(s0)
    ${report}`,
} as const
type Routine = keyof typeof routines
const ROUTINE_BYTES = 0x80

/** What a guest asks its VMM for. */
export interface Wish {
  readonly gpa: number
  readonly size: number
  readonly toPrivate: boolean
  /** Allocate the half that the pages go to, and punch the one that they leave. */
  readonly fallocate: boolean
}

const PRIVATE = 1
const FALLOCATE = 2

/** KVM_RUN failed, or the guest exited with something else than the doorbell. */
export class GuestExit extends Error {
  readonly errno: number
  readonly reason: number
  constructor(errno: number, reason: number) {
    super(`KVM_RUN returned ${-errno} with exit reason ${reason}`)
    this.errno = errno
    this.reason = reason
  }
}

export class GuestAgent {
  readonly #machine: InlineMachine
  readonly #id: number
  readonly #entries: Readonly<Record<Routine, number>>
  readonly #serve: (wish: Wish) => number

  /** `serve`: the VMM's part of a conversion; 0, or -errno for the guest to see. */
  constructor(machine: InlineMachine, id: number, serve: (wish: Wish) => number) {
    this.#machine = machine
    this.#id = id
    this.#serve = serve
    const entries = Object.entries(routines).map(([name, source], i) => [
      name,
      machine.place(source, i * ROUTINE_BYTES),
    ])
    this.#entries = Object.fromEntries(entries)
    machine.kvm.ioctl(machine.fds[id], Kvm.SET_MP_STATE, Uint8Array.of(MpState.RUNNABLE, 0, 0, 0))
  }

  /** Stores a byte all over [gpa, gpa + size). */
  fill(gpa: number, size: number, value: number): void {
    this.#run('fill', gpa, size, BigInt(value) * 0x0101010101010101n)
  }

  /** Address of the first word of [gpa, gpa + size) that is not this byte all over; 0 when all are. */
  differs(gpa: number, size: number, value: number): number {
    return size === 0 ? 0 : this.#run('compare', gpa, size, BigInt(value) * 0x0101010101010101n)
  }

  load(gpa: number): number {
    return this.#run('load', gpa, 1, 0n)
  }

  store(gpa: number, value: number): void {
    this.#run('store', gpa, 1, BigInt(value))
  }

  /** Asks the VMM; 0 or -errno as the guest got it. */
  ask(wish: Wish): number {
    const flags = (wish.toPrivate ? PRIVATE : 0) | (wish.fallocate ? FALLOCATE : 0)
    return this.#run('ask', wish.gpa, wish.size, BigInt(flags)) | 0
  }

  /** Runs a routine to its report. Throws GuestExit. */
  #run(routine: Routine, gpa: number, size: number, value: bigint): number {
    const { oneReg, run } = this.#machine.vcpu(this.#id)
    oneReg.set(OneReg.PC, BigInt(this.#entries[routine]))
    oneReg.set(OneReg.x(11), BigInt(gpa))
    oneReg.set(OneReg.x(12), BigInt(size))
    oneReg.set(OneReg.x(13), value)
    const asked = new Map<number, number>()
    for (;;) {
      const result = this.#machine.run(this.#id)
      if (result !== 0 || run.exitReason !== ExitReason.MMIO) throw new GuestExit(-result, run.exitReason)
      const { gpa: address, write, low, high } = run.mmio
      const register = address - DOORBELL
      if (write) asked.set(register, (high >>> 0) * 2 ** 32 + (low >>> 0))
      else run.setMmioData(this.#serve(wishOf(asked)), 0)
      const done = write && register === Doorbell.RESULT
      if (done) {
        this.#complete()
        return asked.get(Doorbell.RESULT) ?? 0
      }
    }
  }

  /** Completes the exit without going on. */
  #complete(): void {
    const { run } = this.#machine.vcpu(this.#id)
    run.immediateExit = true
    if (this.#machine.run(this.#id) !== -Errno.EINTR) throw new Error('an immediate exit was none')
    run.immediateExit = false
  }
}

const wishOf = (asked: ReadonlyMap<number, number>): Wish => {
  const flags = asked.get(Doorbell.WISH) ?? 0
  return {
    gpa: asked.get(Doorbell.GPA) ?? 0,
    size: asked.get(Doorbell.SIZE) ?? 0,
    toPrivate: (flags & PRIVATE) !== 0,
    fallocate: (flags & FALLOCATE) !== 0,
  }
}
