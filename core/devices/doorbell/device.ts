// The doorbell as the VMM keeps it: one hart's bank of registers (registers.ts).
//
// It lives in the hypervisor's thread, because what it does takes system calls of the VMM.

import { joinU64 } from '../../base/u64.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { DOORBELL_MAGIC, DOORBELL_VERSION, DoorbellReg } from './registers.ts'

/** A register's value as two halves of 32 bits; a narrower load takes its low bytes. */
export type RegisterValue = readonly [low: number, high: number]

/** Answers a request about [gpa, gpa + size), in bytes, with an SBI error. */
export type AskToConvert = (gpa: number, size: number, share: boolean) => KernelTask<number>

const NOTHING_THERE: RegisterValue = [-1, -1]

export class Doorbell {
  readonly #ask: AskToConvert
  #gpa: RegisterValue = [0, 0]
  #size: RegisterValue = [0, 0]

  constructor(ask: AskToConvert) {
    this.#ask = ask
  }

  /** A store of `length` bytes at `offset` of the page. */
  store(offset: number, length: number, value: RegisterValue): void {
    if (length !== 8) return
    if (offset === DoorbellReg.GPA) this.#gpa = value
    else if (offset === DoorbellReg.SIZE) this.#size = value
  }

  /** A load of `length` bytes at `offset` of the page: its value, once what it asks for is done. */
  *load(offset: number, length: number): KernelTask<RegisterValue> {
    if (length === 4 && offset === DoorbellReg.MAGIC) return [DOORBELL_MAGIC, 0]
    if (length === 4 && offset === DoorbellReg.VERSION) return [DOORBELL_VERSION, 0]
    if (length !== 8) return NOTHING_THERE
    switch (offset) {
      case DoorbellReg.GPA:
        return this.#gpa
      case DoorbellReg.SIZE:
        return this.#size
      case DoorbellReg.SHARE:
      case DoorbellReg.UNSHARE: {
        const share = offset === DoorbellReg.SHARE
        const error = yield* this.#ask(joinU64(...this.#gpa), joinU64(...this.#size), share)
        return [error, error >> 31]
      }
      default:
        return NOTHING_THERE
    }
  }
}
