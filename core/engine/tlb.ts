// The software TLB in the vCPU block, as the generated code sees it.
//
// An entry is {i64 tag, i32 addend, i32 pad}. The tag is the page's virtual address, and the host address of `va`
// is (i32)va + addend. An access of `size` bytes hits when ((tag ^ va) & (~0xfff | size - 1)) == 0, which
// checks its alignment for free. An address selects its entry by bits 20:12. An empty entry's tag has other
// index bits than its own place, so no address whatever can hit it: all ones, and zero in the last place.

import { load64, type Runtime, store64 } from './runtime.ts'
import { TLB_ARRAYS, TLB_BYTES, TLB_ENTRIES, TLB_ENTRY_SIZE, Vcpu } from './vcpu-block.ts'
import type { Callable, FunctionBuilder, I32, I64, Local } from './wasm/function.ts'

/** Byte offset of a page's entry in a TLB array: index bits of the address times 16. */
const INDEX_SHIFT = 8
const INDEX_MASK = (TLB_ENTRIES - 1) * TLB_ENTRY_SIZE
/** Offset of the addend in an entry. */
export const TLB_ADDEND = 8
/** Bytes of the arrays of one privilege (read, write, fetch). */
export const TLB_PRIVILEGE_BYTES = 3 * TLB_BYTES

/** TLB_LARGE has a bit for each 1 GiB, over and over. */
const LARGE_SHIFT = 30

/** Bits in which a hit must agree with the tag. */
export const tlbMask = (bytes: number): number => -4096 | (bytes - 1)

/** Byte offset of the entry of virtual address `va` in its array. */
export const tlbEntryOffset = (f: FunctionBuilder, va: Local<'i64'>): I32 =>
  f.i32.and(f.i32.shr_u(f.i32.wrap(f.get(va)), f.i32.const(INDEX_SHIFT)), f.i32.const(INDEX_MASK))

/** Address of the arrays of privilege `priv` (0 VU, 1 VS). */
export const tlbOfPrivilege = (f: FunctionBuilder, base: Local<'i32'>, priv: Local<'i32'>): I32 =>
  f.i32.add(
    f.get(base),
    f.select(f.i32.const(Vcpu.TLB), f.i32.const(Vcpu.TLB + TLB_PRIVILEGE_BYTES), f.get(priv)),
  )

/** `flush_tlb(base)`: empties all arrays. */
export const buildFlush = ({ module }: Runtime): Callable<readonly ['i32'], null> =>
  module.function(
    ['i32'],
    null,
    (f, base) => {
      f.fill(
        f.i32.add(f.get(base), f.i32.const(Vcpu.TLB)),
        f.i32.const(0xff),
        f.i32.const(TLB_ARRAYS * TLB_BYTES),
      )
      store64(f, base, 'TLB_LARGE', () => f.i64.const(0))
      for (let array = 1; array <= TLB_ARRAYS; array++)
        f.i64.store(f.get(base), f.i64.const(0), Vcpu.TLB + array * TLB_BYTES - TLB_ENTRY_SIZE)
    },
    'flush_tlb',
  )

/** The bit of TLB_LARGE for an address. */
const largeBit = (f: FunctionBuilder, va: Local<'i64'>): I64 =>
  f.i64.shl(f.i64.const(1), f.i64.shr_u(f.get(va), f.i64.const(LARGE_SHIFT)))

/** Notes that the page of `va` comes from a guest leaf of 1 << shift bytes, so that `flush_page` finds all of it. */
export const noteLeaf = (
  f: FunctionBuilder,
  base: Local<'i32'>,
  va: Local<'i64'>,
  shift: Local<'i32'>,
): void =>
  f.if(
    f.i32.gt_u(f.get(shift), f.i32.const(12)),
    () =>
      store64(f, base, 'TLB_LARGE', () =>
        f.i64.or(
          load64(f, base, 'TLB_LARGE'),
          f.select(f.i64.const(-1), largeBit(f, va), f.i32.gt_u(f.get(shift), f.i32.const(LARGE_SHIFT))),
        ),
      ),
    undefined,
    'unlikely',
  )

/** flush_page(base, va): forgets the guest leaf that translates `va`; everything, where it may be a large one. */
export const buildFlushPage = (
  { module }: Runtime,
  flush: Callable<readonly ['i32'], null>,
): Callable<readonly ['i32', 'i64'], null> =>
  module.function(['i32', 'i64'], null, (f, base, va) => {
    const entry = f.local('i32')
    f.if(f.i64.ne(f.i64.and(load64(f, base, 'TLB_LARGE'), largeBit(f, va)), f.i64.const(0)), () => {
      f.call(flush, f.get(base))
      f.return()
    })
    f.set(entry, f.i32.add(f.get(base), tlbEntryOffset(f, va)))
    // A tag with another index than its place: empty.
    f.set(va, f.i64.and(f.i64.xor(f.get(va), f.i64.const(4096)), f.i64.const(-4096)))
    for (let array = 0; array < TLB_ARRAYS; array++)
      f.i64.store(f.get(entry), f.get(va), Vcpu.TLB + array * TLB_BYTES)
  })
