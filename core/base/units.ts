// Branded units: page-frame numbers and addresses of the emulated machine that must never be mixed.
//
// All are non-negative JavaScript numbers. Page-aligned 64-bit addresses are exact in a double (they are
// multiples of 4096 below 2^64), so `pfn * PAGE_SIZE` is right where `pfn << 12` would turn negative.

declare const unit: unique symbol
type Unit<Name extends string> = number & { readonly [unit]: Name }

/** Host page-frame number: index into the folio table; `pfn * 4096` is the byte offset in host memory. */
export type Pfn = Unit<'pfn'>
/** Guest physical address in bytes. */
export type Gpa = Unit<'gpa'>
/** Host physical address in bytes: an offset into the one shared WebAssembly memory. */
export type Hpa = Unit<'hpa'>
/** Host virtual address in bytes, in an emulated process. */
export type Hva = Unit<'hva'>

export const PAGE_SIZE = 4096

export const pfn = (n: number): Pfn => n as Pfn
export const gpa = (n: number): Gpa => n as Gpa
export const hpa = (n: number): Hpa => n as Hpa
export const hva = (n: number): Hva => n as Hva

export const pfnToHpa = (p: Pfn): Hpa => (p * PAGE_SIZE) as Hpa
export const hpaToPfn = (a: Hpa): Pfn => Math.floor(a / PAGE_SIZE) as Pfn
