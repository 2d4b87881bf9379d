// CSR instructions: who may name which CSR, what reads give and what writes keep.
// Source: privileged architecture 20240411, chapter 2 (access rules) and 12.1; Sstc 1.0.

import {
  CBIE_RESERVED,
  Counter,
  Csr,
  type CsrName,
  Interrupt,
  SCOUNTEREN_WRITABLE,
  SENVCFG_WRITABLE,
  Senvcfg,
  SIE_WRITABLE,
  SSTATUS_SD,
  SSTATUS_UXL_SHIFT,
  SSTATUS_WRITABLE,
  Sstatus,
} from '../riscv/csr.ts'
import { PTE_PPN_BITS, SatpMode } from '../riscv/pagetable.ts'
import { load32, load64, type Runtime, store32, store64 } from './runtime.ts'
import type { Traps } from './traps.ts'
import { Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, I64, Local } from './wasm/function.ts'

/** Result of the generated function. */
export const CsrResult = {
  /** Done; nothing that steers execution changed. */
  DONE: 0,
  ILLEGAL: 1,
  /** Done, and interrupts or translation may have changed: re-enter. */
  WRITTEN: 2,
} as const

export const CsrAction = { write: 0, set: 1, clear: 2 } as const

interface Access {
  readonly read: (f: FunctionBuilder, base: Local<'i32'>) => I64
  /** Absent: the CSR's number makes it read-only. */
  readonly write?: (f: FunctionBuilder, base: Local<'i32'>, value: Local<'i64'>, old: Local<'i64'>) => void
}

/** A field of the block whose writable bits are `mask`. */
const plain = (field: keyof typeof Vcpu, mask: bigint | number = -1): Access => ({
  read: (f, base) => load64(f, base, field),
  write: (f, base, value) => store64(f, base, field, () => f.i64.and(f.get(value), f.i64.const(mask))),
})

const floatState = (f: FunctionBuilder, base: Local<'i32'>): I64 =>
  f.i64.and(load64(f, base, 'SSTATUS'), f.i64.const(Sstatus.FS))

/** Bits of fcsr from `shift` on; a write makes the floating-point state dirty. */
const floatControl = (shift: number, mask: number): Access => ({
  read: (f, base) =>
    f.i64.extend_u(f.i32.and(f.i32.shr_u(load32(f, base, 'FCSR'), f.i32.const(shift)), f.i32.const(mask))),
  write: (f, base, value) => {
    store32(f, base, 'FCSR', () =>
      f.i32.or(
        f.i32.and(load32(f, base, 'FCSR'), f.i32.const(~(mask << shift))),
        f.i32.shl(f.i32.and(f.i32.wrap(f.get(value)), f.i32.const(mask)), f.i32.const(shift)),
      ),
    )
    store64(f, base, 'SSTATUS', () => f.i64.or(load64(f, base, 'SSTATUS'), f.i64.const(Sstatus.FS)))
  },
})

/** Illegal while sstatus.FS is off. */
const floatCsrs: ReadonlySet<CsrName> = new Set<CsrName>(['fflags', 'frm', 'fcsr'])

/** The counters a VU read needs scounteren's permission for. */
const counterBit: Partial<Record<CsrName, number>> = {
  cycle: Counter.CY,
  time: Counter.TM,
  instret: Counter.IR,
}

const accesses = (traps: Traps, flush: Callable<readonly ['i32'], null>): Record<CsrName, Access> => ({
  sstatus: {
    read: (f, base) =>
      f.i64.or(
        f.i64.or(
          f.i64.and(load64(f, base, 'SSTATUS'), f.i64.const(SSTATUS_WRITABLE)),
          f.i64.const(2n << BigInt(SSTATUS_UXL_SHIFT)),
        ),
        f.select(
          f.i64.const(SSTATUS_SD),
          f.i64.const(0),
          f.i64.eq(floatState(f, base), f.i64.const(Sstatus.FS)),
        ),
      ),
    write: (f, base, value, old) => {
      store64(f, base, 'SSTATUS', () => f.i64.and(f.get(value), f.i64.const(SSTATUS_WRITABLE)))
      // Only a permission taken away makes cached translations wrong.
      f.if(
        f.i32.wrap(
          f.i64.and(
            f.i64.and(f.get(old), f.i64.xor(f.get(value), f.i64.const(-1))),
            f.i64.const(Sstatus.SUM | Sstatus.MXR),
          ),
        ),
        () => {
          f.call(flush, f.get(base))
        },
      )
    },
  },
  fflags: floatControl(0, 0x1f),
  frm: floatControl(5, 7),
  fcsr: floatControl(0, 0xff),
  sie: plain('SIE', SIE_WRITABLE),
  // Direct and vectored are the modes there are: bit 1 of the mode is not writable.
  stvec: plain('STVEC', ~2),
  scounteren: plain('SCOUNTEREN', SCOUNTEREN_WRITABLE),
  senvcfg: {
    read: (f, base) => load64(f, base, 'SENVCFG'),
    write: (f, base, value) => {
      f.set(value, f.i64.and(f.get(value), f.i64.const(SENVCFG_WRITABLE)))
      f.if(f.i64.eq(f.i64.and(f.get(value), f.i64.const(Senvcfg.CBIE)), f.i64.const(CBIE_RESERVED)), () =>
        f.set(value, f.i64.and(f.get(value), f.i64.const(~Senvcfg.CBIE))),
      )
      store64(f, base, 'SENVCFG', () => f.get(value))
    },
  },
  sscratch: plain('SSCRATCH'),
  // Instructions are 2-byte aligned.
  sepc: plain('SEPC', ~1),
  scause: plain('SCAUSE'),
  stval: plain('STVAL'),
  sip: {
    read: (f, base) => f.i64.extend_u(f.call(traps.pending, f.get(base))),
    // Only a changed SSIP is written: another hart may set it between the read and this.
    write: (f, base, value, old) =>
      f.if(f.i32.wrap(f.i64.and(f.i64.xor(f.get(value), f.get(old)), f.i64.const(Interrupt.SSI))), () =>
        f.if(
          f.i32.wrap(f.i64.and(f.get(value), f.i64.const(Interrupt.SSI))),
          () => f.drop(f.i32.atomic.or(f.get(base), f.i32.const(Interrupt.SSI), Vcpu.PENDING)),
          () => f.drop(f.i32.atomic.and(f.get(base), f.i32.const(~Interrupt.SSI), Vcpu.PENDING)),
        ),
      ),
  },
  stimecmp: plain('STIMECMP'),
  satp: {
    read: (f, base) => load64(f, base, 'SATP'),
    // A mode there is not: the whole write has no effect. ASIDLEN is 0.
    write: (f, base, value) => {
      const mode = f.local('i64')
      f.set(mode, f.i64.shr_u(f.get(value), f.i64.const(60)))
      for (const known of Object.values(SatpMode))
        f.if(f.i64.eq(f.get(mode), f.i64.const(known)), () => {
          store64(f, base, 'SATP', () =>
            f.i64.and(f.get(value), f.i64.const((0xfn << 60n) | ((1n << BigInt(PTE_PPN_BITS)) - 1n))),
          )
          f.call(flush, f.get(base))
        })
    },
  },
  cycle: { read: (f, base) => load64(f, base, 'INSTRET') },
  time: { read: (f, base) => f.call(traps.time, f.get(base)) },
  instret: { read: (f, base) => load64(f, base, 'INSTRET') },
})

/** csr(base, word, source, action) -> CsrResult. INSTRET must be up to date. */
export const buildCsr = (
  { module }: Runtime,
  traps: Traps,
  flush: Callable<readonly ['i32'], null>,
): Callable<readonly ['i32', 'i32', 'i64', 'i32'], 'i32'> =>
  module.function(['i32', 'i32', 'i64', 'i32'], 'i32', (f, base, word, source, action) => {
    const number = f.local('i32')
    const writes = f.local('i32')
    const old = f.local('i64')
    const table = Object.entries(accesses(traps, flush)) as [CsrName, Access][]
    const illegal = (): void => f.return(f.i32.const(CsrResult.ILLEGAL))
    const is = (name: CsrName) => f.i32.eq(f.get(number), f.i32.const(Csr[name]))

    f.set(number, f.i32.shr_u(f.get(word), f.i32.const(20)))
    // Set and clear with rs1 = x0 (or an immediate of 0) do not write.
    f.set(
      writes,
      f.i32.or(
        f.i32.eq(f.get(action), f.i32.const(CsrAction.write)),
        f.i32.ne(f.i32.and(f.get(word), f.i32.const(0x000f8000)), f.i32.const(0)),
      ),
    )
    f.if(
      f.i32.gt_u(
        f.i32.and(f.i32.shr_u(f.get(number), f.i32.const(8)), f.i32.const(3)),
        load32(f, base, 'PRIV'),
      ),
      illegal,
    )
    f.if(
      f.i32.and(f.get(writes), f.i32.eq(f.i32.shr_u(f.get(number), f.i32.const(10)), f.i32.const(3))),
      illegal,
    )
    f.block((known) => {
      for (const [name, { read }] of table)
        f.if(is(name), () => {
          if (floatCsrs.has(name)) f.if(f.i64.eqz(floatState(f, base)), illegal)
          const bit = counterBit[name]
          if (bit !== undefined)
            f.if(
              f.i32.eqz(
                f.i32.or(
                  load32(f, base, 'PRIV'),
                  f.i32.and(f.i32.wrap(load64(f, base, 'SCOUNTEREN')), f.i32.const(bit)),
                ),
              ),
              illegal,
            )
          f.set(old, read(f, base))
          f.br(known)
        })
      illegal()
    })
    f.block((written) => {
      f.brIf(written, f.i32.eqz(f.get(writes)))
      f.if(f.i32.eq(f.get(action), f.i32.const(CsrAction.set)), () =>
        f.set(source, f.i64.or(f.get(old), f.get(source))),
      )
      f.if(f.i32.eq(f.get(action), f.i32.const(CsrAction.clear)), () =>
        f.set(source, f.i64.and(f.get(old), f.i64.xor(f.get(source), f.i64.const(-1)))),
      )
      for (const [name, { write }] of table)
        if (write)
          f.if(is(name), () => {
            write(f, base, source, old)
            f.br(written)
          })
    })
    f.i64.store(
      f.i32.add(f.get(base), f.i32.and(f.i32.shr_u(f.get(word), f.i32.const(4)), f.i32.const(0xf8))),
      f.get(old),
      Vcpu.X,
    )
    f.i64.store(f.get(base), f.i64.const(0), Vcpu.X)
    f.return(f.select(f.i32.const(CsrResult.WRITTEN), f.i32.const(CsrResult.DONE), f.get(writes)))
  })
