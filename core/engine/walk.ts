// The two-stage page walk: Sv39, Sv48, Sv57 or bare for the guest's own stage, Sv39x4 for the hypervisor's.
// Source: privileged architecture 20240411, 12.3.2 (translation process) and 18.5 (two-stage translation).
//
// Every guest physical address, of a VS-stage entry as of the access itself, goes through the G stage. A and D are
// updated by compare-exchange in the VS stage and never in the G stage, where a clear bit is a fault.

import { Sstatus } from '../riscv/csr.ts'
import {
  INDEX_BITS,
  levelShift,
  PTE_PPN_BITS,
  PTE_PPN_SHIFT,
  PTE_RESERVED_SHIFT,
  PTE_SIZE,
  Pte,
  ROOT_LEVEL,
  SATP_MODE_TO_ROOT_LEVEL,
  SV39X4_BITS,
  TABLE_ENTRIES,
} from '../riscv/pagetable.ts'
import { Cause, PSEUDO_READ_PTE64, PSEUDO_WRITE_PTE64 } from '../riscv/trap.ts'
import { Access, load32, load64, type Runtime } from './runtime.ts'
import { noteLeaf, TLB_ADDEND, tlbEntryOffset, tlbOfPrivilege } from './tlb.ts'
import { TLB_BYTES, Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, I32, I64, Local } from './wasm/function.ts'

const PERMISSIONS = Pte.R | Pte.W | Pte.X
const PTE_SIZE_SHIFT = Math.log2(PTE_SIZE)
const PPN_MASK = (1n << BigInt(PTE_PPN_BITS)) - 1n
/** Bits a G-stage leaf needs for an access: user, accessed, and dirty for stores. */
const G_COMMON = Pte.V | Pte.U | Pte.A
const G_NEED = [G_COMMON | Pte.R, G_COMMON | Pte.R | Pte.W | Pte.D, G_COMMON | Pte.X] as const

type Walker = Callable<readonly ['i32', 'i64', 'i32', 'i32'], 'i32'>
type GStage = Callable<readonly ['i32', 'i64', 'i32'], 'i32'>

/** One of three constants by access kind. */
const byAccess = (f: FunctionBuilder, access: Local<'i32'>, values: readonly [number, number, number]): I32 =>
  f.select(
    f.i32.const(values[Access.WRITE]),
    f.select(
      f.i32.const(values[Access.FETCH]),
      f.i32.const(values[Access.READ]),
      f.i32.eq(f.get(access), f.i32.const(Access.FETCH)),
    ),
    f.i32.eq(f.get(access), f.i32.const(Access.WRITE)),
  )

/** The bits of the low half of an entry. */
const has = (f: FunctionBuilder, low: Local<'i32'>, bits: number): I32 =>
  f.i32.and(f.get(low), f.i32.const(bits))

/** Address bits below a leaf of that level, as 64 bits: (1 << shift) - 1. */
const offsetMask = (f: FunctionBuilder, shift: Local<'i32'>): I64 =>
  f.i64.sub(f.i64.shl(f.i64.const(1), f.i64.extend_u(f.get(shift))), f.i64.const(1))

/** The page number of an entry as an address. Bits above it must have been checked to be zero. */
const pageOf = (f: FunctionBuilder, pte: Local<'i64'>): I64 =>
  f.i64.shl(f.i64.shr_u(f.get(pte), f.i64.const(PTE_PPN_SHIFT)), f.i64.const(12))

/** `address[shift+8:shift] * 8`: byte offset of a level's entry. */
const indexBytes = (f: FunctionBuilder, address: Local<'i64'>, shift: Local<'i32'>): I32 =>
  f.i32.shl(
    f.i32.and(
      f.i32.wrap(f.i64.shr_u(f.get(address), f.i64.extend_u(f.get(shift)))),
      f.i32.const(TABLE_ENTRIES - 1),
    ),
    f.i32.const(PTE_SIZE_SHIFT),
  )

/** gstage(base, gpa, needed bits) -> host address, or 0 with the fault's gpa set. */
function buildGStage({ module, fault }: Runtime): GStage {
  return module.function(['i32', 'i64', 'i32'], 'i32', (f, base, gpa, need) => {
    const entry = f.local('i32')
    const shift = f.local('i32')
    const low = f.local('i32')
    const pte = f.local('i64')
    f.block((failed) => {
      f.brIf(failed, f.i32.eqz(load32(f, base, 'HGATP_ROOT')))
      f.brIf(failed, f.i32.eqz(f.i64.eqz(f.i64.shr_u(f.get(gpa), f.i64.const(SV39X4_BITS)))))
      f.set(shift, f.i32.const(levelShift(ROOT_LEVEL)))
      // The root's index is two bits wider: all bits of the address that are left.
      f.set(
        entry,
        f.i32.add(
          load32(f, base, 'HGATP_ROOT'),
          f.i32.shl(
            f.i32.wrap(f.i64.shr_u(f.get(gpa), f.i64.const(levelShift(ROOT_LEVEL)))),
            f.i32.const(PTE_SIZE_SHIFT),
          ),
        ),
      )
      f.loop((walk) => {
        f.set(low, f.i32.wrap(f.tee(pte, f.i64.atomic.load(f.get(entry)))))
        f.brIf(failed, f.i32.eqz(has(f, low, Pte.V)))
        f.brIf(failed, f.i32.eqz(f.i64.eqz(f.i64.shr_u(f.get(pte), f.i64.const(PTE_RESERVED_SHIFT)))))
        f.if(f.i32.eqz(has(f, low, PERMISSIONS)), () => {
          f.brIf(failed, has(f, low, Pte.U | Pte.A | Pte.D))
          f.set(shift, f.i32.sub(f.get(shift), f.i32.const(INDEX_BITS)))
          f.brIf(failed, f.i32.lt_s(f.get(shift), f.i32.const(12)))
          f.set(entry, f.i32.add(f.i32.wrap(pageOf(f, pte)), indexBytes(f, gpa, shift)))
          f.br(walk)
        })
      })
      f.brIf(failed, f.i32.ne(f.i32.and(f.get(low), f.get(need)), f.get(need)))
      f.brIf(failed, f.i32.eq(has(f, low, Pte.R | Pte.W), f.i32.const(Pte.W)))
      f.brIf(failed, f.i32.eqz(f.i64.eqz(f.i64.and(pageOf(f, pte), offsetMask(f, shift)))))
      f.return(f.i32.wrap(f.i64.or(pageOf(f, pte), f.i64.and(f.get(gpa), offsetMask(f, shift)))))
    })
    f.setGlobal(fault.gpa, f.get(gpa))
    f.return(f.i32.const(0))
  })
}

/**
 * translate(base, va, access, priv) -> host address of the byte, with the TLB entry filled; or 0 with the fault's
 * cause, value, gpa and pseudoinstruction set.
 */
export function buildTranslate(runtime: Runtime): Walker {
  const { module, fault } = runtime
  const gstage = buildGStage(runtime)
  return module.function(['i32', 'i64', 'i32', 'i32'], 'i32', (f, base, va, access, priv) => {
    const gpa = f.local('i64')
    const table = f.local('i64')
    const pteGpa = f.local('i64')
    const pte = f.local('i64')
    const low = f.local('i32')
    const shift = f.local('i32')
    const host = f.local('i32')
    const want = f.local('i32')
    const mode = f.local('i32')
    const unused = f.local('i64')
    const entry = f.local('i32')

    const readable = (): I32 =>
      f.select(
        f.i32.const(Pte.R | Pte.X),
        f.i32.const(Pte.R),
        f.i32.and(f.i32.wrap(load64(f, base, 'SSTATUS')), f.i32.const(Sstatus.MXR)),
      )

    f.setGlobal(fault.pseudo, f.i32.const(0))
    f.set(gpa, f.get(va))
    f.block((guestPageFault) => {
      f.block((pageFault) => {
        f.if(f.tee(mode, f.i32.wrap(f.i64.shr_u(load64(f, base, 'SATP'), f.i64.const(60)))), () => {
          // The root's shift: 30, 39 or 48. Address bits above its index must all be as the highest one.
          f.set(
            shift,
            f.i32.add(
              f.i32.mul(
                f.i32.sub(f.get(mode), f.i32.const(SATP_MODE_TO_ROOT_LEVEL)),
                f.i32.const(INDEX_BITS),
              ),
              f.i32.const(levelShift(0)),
            ),
          )
          f.set(unused, f.i64.extend_u(f.i32.sub(f.i32.const(64 - INDEX_BITS), f.get(shift))))
          f.brIf(
            pageFault,
            f.i64.ne(f.i64.shr_s(f.i64.shl(f.get(va), f.get(unused)), f.get(unused)), f.get(va)),
          )
          f.set(table, f.i64.shl(f.i64.and(load64(f, base, 'SATP'), f.i64.const(PPN_MASK)), f.i64.const(12)))
          f.loop((walk) => {
            f.set(pteGpa, f.i64.add(f.get(table), f.i64.extend_u(indexBytes(f, va, shift))))
            f.set(host, f.call(gstage, f.get(base), f.get(pteGpa), f.i32.const(G_NEED[Access.READ])))
            f.if(f.i32.eqz(f.get(host)), () => {
              f.setGlobal(fault.pseudo, f.i32.const(PSEUDO_READ_PTE64))
              f.br(guestPageFault)
            })
            f.set(low, f.i32.wrap(f.tee(pte, f.i64.atomic.load(f.get(host)))))
            f.brIf(pageFault, f.i32.eqz(has(f, low, Pte.V)))
            f.brIf(pageFault, f.i32.eqz(f.i64.eqz(f.i64.shr_u(f.get(pte), f.i64.const(PTE_RESERVED_SHIFT)))))
            f.brIf(pageFault, f.i32.eq(has(f, low, Pte.R | Pte.W), f.i32.const(Pte.W)))
            f.if(f.i32.eqz(has(f, low, PERMISSIONS)), () => {
              f.brIf(pageFault, has(f, low, Pte.U | Pte.A | Pte.D))
              f.set(shift, f.i32.sub(f.get(shift), f.i32.const(INDEX_BITS)))
              f.brIf(pageFault, f.i32.lt_s(f.get(shift), f.i32.const(12)))
              f.set(table, pageOf(f, pte))
              f.br(walk)
            })
            f.if(
              f.get(priv),
              () =>
                f.if(has(f, low, Pte.U), () => {
                  f.brIf(pageFault, f.i32.eq(f.get(access), f.i32.const(Access.FETCH)))
                  f.brIf(
                    pageFault,
                    f.i32.eqz(f.i32.and(f.i32.wrap(load64(f, base, 'SSTATUS')), f.i32.const(Sstatus.SUM))),
                  )
                }),
              () => f.brIf(pageFault, f.i32.eqz(has(f, low, Pte.U))),
            )
            f.set(want, byAccess(f, access, [0, Pte.W, Pte.X]))
            f.if(f.i32.eqz(f.get(access)), () => f.set(want, readable()))
            f.brIf(pageFault, f.i32.eqz(f.i32.and(f.get(low), f.get(want))))
            f.brIf(pageFault, f.i32.eqz(f.i64.eqz(f.i64.and(pageOf(f, pte), offsetMask(f, shift)))))
            f.set(want, byAccess(f, access, [Pte.A, Pte.A | Pte.D, Pte.A]))
            f.if(f.i32.ne(f.i32.and(f.get(low), f.get(want)), f.get(want)), () => {
              f.set(host, f.call(gstage, f.get(base), f.get(pteGpa), f.i32.const(G_NEED[Access.WRITE])))
              f.if(f.i32.eqz(f.get(host)), () => {
                f.setGlobal(fault.pseudo, f.i32.const(PSEUDO_WRITE_PTE64))
                f.br(guestPageFault)
              })
              // Another hart or the guest itself may have changed the entry meanwhile: then read it again.
              f.brIf(
                walk,
                f.i64.ne(
                  f.i64.atomic.cmpxchg(
                    f.get(host),
                    f.get(pte),
                    f.i64.or(f.get(pte), f.i64.extend_u(f.get(want))),
                  ),
                  f.get(pte),
                ),
              )
            })
          })
          noteLeaf(f, base, va, shift)
          f.set(gpa, f.i64.or(pageOf(f, pte), f.i64.and(f.get(va), offsetMask(f, shift))))
        })
        f.set(host, f.call(gstage, f.get(base), f.get(gpa), byAccess(f, access, G_NEED)))
        f.brIf(guestPageFault, f.i32.eqz(f.get(host)))
        f.set(
          entry,
          f.i32.add(
            f.i32.add(tlbOfPrivilege(f, base, priv), f.i32.mul(f.get(access), f.i32.const(TLB_BYTES))),
            tlbEntryOffset(f, va),
          ),
        )
        f.i64.store(f.get(entry), f.i64.and(f.get(va), f.i64.const(-4096)))
        f.i32.store(f.get(entry), f.i32.sub(f.get(host), f.i32.wrap(f.get(va))), TLB_ADDEND)
        f.return(f.get(host))
      })
      f.setGlobal(
        fault.cause,
        byAccess(f, access, [Cause.LOAD_PAGE_FAULT, Cause.STORE_PAGE_FAULT, Cause.INSTRUCTION_PAGE_FAULT]),
      )
      f.setGlobal(fault.value, f.get(va))
      f.return(f.i32.const(0))
    })
    f.setGlobal(
      fault.cause,
      byAccess(f, access, [
        Cause.LOAD_GUEST_PAGE_FAULT,
        Cause.STORE_GUEST_PAGE_FAULT,
        Cause.INSTRUCTION_GUEST_PAGE_FAULT,
      ]),
    )
    f.setGlobal(fault.value, f.get(va))
    f.return(f.i32.const(0))
  })
}

/** locate(base, va, access) -> host address of an aligned access, from the TLB or by a walk; 0 on a fault. */
export const buildLocate = (
  { module }: Runtime,
  translate: Walker,
): Callable<readonly ['i32', 'i64', 'i32'], 'i32'> =>
  module.function(['i32', 'i64', 'i32'], 'i32', (f, base, va, access) => {
    const priv = f.local('i32')
    const entry = f.local('i32')
    f.set(priv, f.i32.load(f.get(base), Vcpu.PRIV))
    f.set(
      entry,
      f.i32.add(
        f.i32.add(tlbOfPrivilege(f, base, priv), f.i32.mul(f.get(access), f.i32.const(TLB_BYTES))),
        tlbEntryOffset(f, va),
      ),
    )
    f.if(
      f.i64.eqz(f.i64.and(f.i64.xor(f.i64.load(f.get(entry)), f.get(va)), f.i64.const(-4096))),
      () => f.return(f.i32.add(f.i32.wrap(f.get(va)), f.i32.load(f.get(entry), TLB_ADDEND))),
      undefined,
      'likely',
    )
    f.return(f.call(translate, f.get(base), f.get(va), f.get(access), f.get(priv)))
  })
