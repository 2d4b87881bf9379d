// A machine with Sv39 on, and what becomes of an access in it.

import { Pte } from '../../riscv/pagetable.ts'
import { Cause } from '../../riscv/trap.ts'
import { Exit } from '../vcpu-block.ts'
import { RAM, RWX, TestMachine } from './machine.ts'
import { mapPage, mapSv39 } from './paging.ts'

/** The trap handler, an ecall. */
const HANDLER = RAM + 0x8000
export const DATA = RAM + 0x10000
const USER_CODE = RAM + 0x20000

export const LOAD = 'lw a0, 0(a1)\necall'
export const STORE = 'sw a2, 0(a1)\necall'

/** VS mode (or VU, with code on a U page), Sv39 on, the trap handler an ecall, a1 = DATA. */
export function machine(priv: 0 | 1 = 1): TestMachine {
  const m = new TestMachine()
  mapSv39(m, RWX | Pte.A | Pte.D)
  mapPage(m, USER_CODE, USER_CODE, RWX | Pte.U | Pte.A | Pte.D)
  m.load('ecall', HANDLER)
  m.set('STVEC', BigInt(HANDLER))
  m.set32('PRIV', priv)
  m.setX(11, BigInt(DATA))
  m.setX(12, 0x55n)
  return m
}

/** Runs source (on the U page when in VU) and says what became of it. */
export function outcome(m: TestMachine, source: string): string {
  const code = m.get32('PRIV') ? RAM : USER_CODE
  m.load(source, code)
  m.set('PC', BigInt(code))
  m.set('SCAUSE', 0n)
  const exit = m.engine.run()
  if (exit !== Exit.VS_ECALL) return `exit ${exit}`
  if (m.get('PC') !== BigInt(HANDLER) || m.get('SCAUSE') === BigInt(Cause.ECALL_FROM_U)) return 'ok'
  return `trap ${m.get('SCAUSE')} at ${m.get('STVAL').toString(16)}`
}
export const trap = (cause: number, va = DATA): string => `trap ${cause} at ${BigInt(va).toString(16)}`
