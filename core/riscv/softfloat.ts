// IEEE 754-2008 arithmetic on bit patterns, exact in every rounding mode and flag, as RISC-V wants it: canonical NaNs,
// tininess after rounding (unprivileged specification 20240411, chapters 20 and 21).
//
// Values are unsigned BigInts of the format's width. An operation computes its exact result (or, for quotients and
// roots, enough bits and whether there are more) and rounds once. Slow, and simple enough to be believed.

export interface FloatFormat {
  /** Bits of a pattern. */
  readonly bits: number
  /** Bits of precision, the hidden one included. */
  readonly precision: number
  /** The largest exponent, and the bias. */
  readonly emax: number
}

export const F32: FloatFormat = { bits: 32, precision: 24, emax: 127 }
export const F64: FloatFormat = { bits: 64, precision: 53, emax: 1023 }

/** The rm field. */
export const Rounding = { RNE: 0, RTZ: 1, RDN: 2, RUP: 3, RMM: 4 } as const

/** fflags. */
export const FloatFlag = { NX: 1, UF: 2, OF: 4, DZ: 8, NV: 16 } as const

/** What an operation gives: the pattern, or the integer, and the flags it raises. */
export interface FloatResult {
  readonly value: bigint
  readonly flags: number
}

interface Finite {
  readonly kind: 'finite'
  readonly negative: boolean
  /** The magnitude is significand * 2 ** exponent. */
  readonly significand: bigint
  readonly exponent: number
}
type Unpacked =
  | Finite
  | { readonly kind: 'infinite'; readonly negative: boolean }
  | { readonly kind: 'nan'; readonly signaling: boolean }

const fractionBits = ({ precision }: FloatFormat): bigint => BigInt(precision - 1)
const signBit = ({ bits }: FloatFormat): bigint => 1n << BigInt(bits - 1)
const exponentMask = ({ emax }: FloatFormat): bigint => BigInt(2 * emax + 1)
const infinity = (format: FloatFormat, negative: boolean): bigint =>
  (negative ? signBit(format) : 0n) | (exponentMask(format) << fractionBits(format))
const zero = (format: FloatFormat, negative: boolean): bigint => (negative ? signBit(format) : 0n)

/** The quiet NaN that operations give. */
export const canonicalNan = (format: FloatFormat): bigint =>
  infinity(format, false) | (1n << (fractionBits(format) - 1n))

function unpack(format: FloatFormat, value: bigint): Unpacked {
  const fraction = value & ((1n << fractionBits(format)) - 1n)
  const biased = Number((value >> fractionBits(format)) & exponentMask(format))
  const negative = (value & signBit(format)) !== 0n
  if (biased === 2 * format.emax + 1)
    return fraction === 0n
      ? { kind: 'infinite', negative }
      : { kind: 'nan', signaling: fraction >> (fractionBits(format) - 1n) === 0n }
  const lowest = 2 - format.emax - format.precision
  return biased === 0
    ? { kind: 'finite', negative, significand: fraction, exponent: lowest }
    : {
        kind: 'finite',
        negative,
        significand: fraction | (1n << fractionBits(format)),
        exponent: lowest + biased - 1,
      }
}

const bitLength = (value: bigint): number => {
  const digits = value.toString(16)
  return digits.length * 4 - (Math.clz32(Number.parseInt(digits[0], 16)) - 28)
}

/** An exact magnitude without its `shift` low bits, rounded; `more`: it has bits below those it was given with. */
function roundedShift(
  significand: bigint,
  shift: number,
  more: boolean,
  negative: boolean,
  rounding: number,
): { readonly value: bigint; readonly inexact: boolean } {
  if (shift <= 0) return { value: significand << BigInt(-shift), inexact: more }
  const by = BigInt(shift)
  const value = significand >> by
  const rest = significand & ((1n << by) - 1n)
  const half = 1n << (by - 1n)
  const inexact = rest !== 0n || more
  const up =
    rounding === Rounding.RNE
      ? rest > half || (rest === half && (more || (value & 1n) === 1n))
      : rounding === Rounding.RDN
        ? negative && inexact
        : rounding === Rounding.RUP
          ? !negative && inexact
          : rounding === Rounding.RMM && rest >= half
  return { value: up ? value + 1n : value, inexact }
}

/** Rounds an exact value that is not zero; with `more`, significand has at least precision + 2 bits. */
function pack(
  format: FloatFormat,
  { negative, significand, exponent }: Omit<Finite, 'kind'>,
  rounding: number,
  more = false,
): FloatResult {
  const { precision, emax } = format
  const emin = 1 - emax
  const leading = exponent + bitLength(significand) - 1
  const round = (unit: number) => roundedShift(significand, unit - exponent, more, negative, rounding)
  const normal = leading - precision + 1
  const unit = Math.max(normal, emin - precision + 1)
  const { value, inexact } = round(unit)
  const flags = inexact ? FloatFlag.NX : 0
  if (unit + bitLength(value || 1n) - 1 > emax) {
    const stays = rounding === Rounding.RTZ || rounding === (negative ? Rounding.RUP : Rounding.RDN)
    return {
      value: infinity(format, negative) - (stays ? 1n : 0n),
      flags: FloatFlag.OF | FloatFlag.NX,
    }
  }
  // Tiny: below the smallest normal number when rounded as if the exponent had no limit.
  const isTiny = leading < emin && !(leading === emin - 1 && bitLength(round(normal).value) > precision)
  // A carry out of the significand moves the exponent on by itself.
  const biased = BigInt(unit - (emin - precision + 1))
  return {
    value: (negative ? signBit(format) : 0n) | ((biased << fractionBits(format)) + value),
    flags: inexact && isTiny ? flags | FloatFlag.UF : flags,
  }
}

const invalid = (format: FloatFormat): FloatResult => ({ value: canonicalNan(format), flags: FloatFlag.NV })
const exactly = (value: bigint): FloatResult => ({ value, flags: 0 })

/** The NaN that NaN operands give, or null when there is none among them. */
function nanOf(format: FloatFormat, operands: readonly Unpacked[]): FloatResult | null {
  let found = false
  let flags = 0
  for (const operand of operands)
    if (operand.kind === 'nan') {
      found = true
      if (operand.signaling) flags = FloatFlag.NV
    }
  return found ? { value: canonicalNan(format), flags } : null
}

/** Sum of finite values, rounded once. */
function sum(format: FloatFormat, a: Finite, b: Finite, rounding: number): FloatResult {
  const exponent = Math.min(a.exponent, b.exponent)
  const aligned = ({ negative, significand, exponent: own }: Finite): bigint => {
    const magnitude = significand === 0n ? 0n : significand << BigInt(own - exponent)
    return negative ? -magnitude : magnitude
  }
  const total = aligned(a) + aligned(b)
  if (total === 0n) {
    const bothNegative = a.negative && b.negative
    const negative = a.negative === b.negative ? bothNegative : rounding === Rounding.RDN
    return exactly(zero(format, negative))
  }
  const negative = total < 0n
  return pack(format, { negative, significand: negative ? -total : total, exponent }, rounding)
}

export function add(format: FloatFormat, a: bigint, b: bigint, rounding: number): FloatResult {
  const [x, y] = [unpack(format, a), unpack(format, b)]
  const nan = nanOf(format, [x, y])
  if (nan) return nan
  if (x.kind === 'infinite')
    return y.kind === 'infinite' && x.negative !== y.negative ? invalid(format) : exactly(a)
  if (y.kind === 'infinite') return exactly(b)
  return sum(format, x as Finite, y as Finite, rounding)
}

export const negate = (format: FloatFormat, a: bigint): bigint => a ^ signBit(format)

export const subtract = (format: FloatFormat, a: bigint, b: bigint, rounding: number): FloatResult =>
  unpack(format, b).kind === 'nan' ? add(format, a, b, rounding) : add(format, a, negate(format, b), rounding)

const isZero = (x: Unpacked): boolean => x.kind === 'finite' && x.significand === 0n

export function multiply(format: FloatFormat, a: bigint, b: bigint, rounding: number): FloatResult {
  const [x, y] = [unpack(format, a), unpack(format, b)]
  const nan = nanOf(format, [x, y])
  if (nan || x.kind === 'nan' || y.kind === 'nan') return nan ?? invalid(format)
  const negative = x.negative !== y.negative
  if (x.kind === 'infinite' || y.kind === 'infinite')
    return isZero(x) || isZero(y) ? invalid(format) : exactly(infinity(format, negative))
  const significand = x.significand * y.significand
  if (significand === 0n) return exactly(zero(format, negative))
  return pack(format, { negative, significand, exponent: x.exponent + y.exponent }, rounding)
}

/** a * b + c, rounded once. Infinity times zero is invalid even when c is a quiet NaN. */
export function multiplyAdd(
  format: FloatFormat,
  a: bigint,
  b: bigint,
  c: bigint,
  rounding: number,
): FloatResult {
  const [x, y, z] = [unpack(format, a), unpack(format, b), unpack(format, c)]
  if ((x.kind === 'infinite' && isZero(y)) || (y.kind === 'infinite' && isZero(x))) return invalid(format)
  const nan = nanOf(format, [x, y, z])
  if (nan || x.kind === 'nan' || y.kind === 'nan' || z.kind === 'nan') return nan ?? invalid(format)
  const negative = x.negative !== y.negative
  if (x.kind === 'infinite' || y.kind === 'infinite')
    return z.kind === 'infinite' && z.negative !== negative
      ? invalid(format)
      : exactly(infinity(format, negative))
  if (z.kind === 'infinite') return exactly(c)
  const product: Finite = {
    kind: 'finite',
    negative,
    significand: x.significand * y.significand,
    exponent: x.exponent + y.exponent,
  }
  return sum(format, product, z, rounding)
}

export function divide(format: FloatFormat, a: bigint, b: bigint, rounding: number): FloatResult {
  const [x, y] = [unpack(format, a), unpack(format, b)]
  const nan = nanOf(format, [x, y])
  if (nan || x.kind === 'nan' || y.kind === 'nan') return nan ?? invalid(format)
  const negative = x.negative !== y.negative
  if (x.kind === 'infinite')
    return y.kind === 'infinite' ? invalid(format) : exactly(infinity(format, negative))
  if (y.kind === 'infinite') return exactly(zero(format, negative))
  if (y.significand === 0n)
    return x.significand === 0n ? invalid(format) : { value: infinity(format, negative), flags: FloatFlag.DZ }
  if (x.significand === 0n) return exactly(zero(format, negative))
  const scale = Math.max(0, format.precision + 3 + bitLength(y.significand) - bitLength(x.significand))
  const dividend = x.significand << BigInt(scale)
  const exponent = x.exponent - scale - y.exponent
  const significand = dividend / y.significand
  return pack(format, { negative, significand, exponent }, rounding, significand * y.significand !== dividend)
}

/** The largest integer whose square is not above `value`: Newton's iteration from above. */
function integerRoot(value: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(bitLength(value) / 2))
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

export function squareRoot(format: FloatFormat, a: bigint, rounding: number): FloatResult {
  const x = unpack(format, a)
  if (x.kind === 'nan') return { value: canonicalNan(format), flags: x.signaling ? FloatFlag.NV : 0 }
  if (isZero(x)) return exactly(a)
  if (x.negative) return invalid(format)
  if (x.kind === 'infinite') return exactly(a)
  let scale = Math.max(0, 2 * (format.precision + 3) - bitLength(x.significand))
  if ((x.exponent - scale) % 2) scale++
  const radicand = x.significand << BigInt(scale)
  const significand = integerRoot(radicand)
  return pack(
    format,
    { negative: false, significand, exponent: (x.exponent - scale) / 2 },
    rounding,
    significand * significand !== radicand,
  )
}

/** Order of two values that are not NaN: below, equal to or above 0. */
function order(format: FloatFormat, a: bigint, b: bigint): number {
  const signed = (value: bigint): bigint => (value & signBit(format) ? -(value ^ signBit(format)) : value)
  const [x, y] = [signed(a), signed(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

/** 0 or 1. `quiet`: only a signaling NaN is invalid. */
export function compareFloats(
  format: FloatFormat,
  a: bigint,
  b: bigint,
  holds: (order: number) => boolean,
  quiet: boolean,
): FloatResult {
  const operands = [unpack(format, a), unpack(format, b)]
  const nan = nanOf(format, operands)
  if (nan) return { value: 0n, flags: quiet ? nan.flags : FloatFlag.NV }
  return exactly(holds(order(format, a, b)) ? 1n : 0n)
}

/** minimumNumber and maximumNumber: the number where the other is NaN; -0 is below +0. */
export function extremum(format: FloatFormat, a: bigint, b: bigint, maximum: boolean): FloatResult {
  const [x, y] = [unpack(format, a), unpack(format, b)]
  const flags = nanOf(format, [x, y])?.flags ?? 0
  if (x.kind === 'nan') return { value: y.kind === 'nan' ? canonicalNan(format) : b, flags }
  if (y.kind === 'nan') return { value: a, flags }
  const ordered = order(format, a, b)
  const aFirst = ordered === 0 ? x.negative : ordered < 0
  return exactly(aFirst !== maximum ? a : b)
}

/** fclass: one bit, 0 negative infinity to 7 positive infinity, 8 signaling NaN, 9 quiet NaN. */
export function classify(format: FloatFormat, a: bigint): bigint {
  const x = unpack(format, a)
  if (x.kind === 'nan') return x.signaling ? 1n << 8n : 1n << 9n
  const distance =
    x.kind === 'infinite' ? 3 : x.significand === 0n ? 0 : x.significand >> fractionBits(format) ? 2 : 1
  return 1n << BigInt(x.negative ? 3 - distance : 4 + distance)
}

/** To an integer of `bits` bits, in two's complement; what does not fit is invalid and gives the nearest one. */
export function toInteger(
  format: FloatFormat,
  a: bigint,
  bits: number,
  signed: boolean,
  rounding: number,
): FloatResult {
  const x = unpack(format, a)
  const most = (1n << BigInt(signed ? bits - 1 : bits)) - 1n
  const least = signed ? -most - 1n : 0n
  const clamped = (value: bigint): FloatResult => ({ value, flags: FloatFlag.NV })
  if (x.kind === 'nan') return clamped(most)
  if (x.kind === 'infinite') return clamped(x.negative ? least : most)
  const { value, inexact } = roundedShift(x.significand, -x.exponent, false, x.negative, rounding)
  const result = x.negative ? -value : value
  if (result > most) return clamped(most)
  if (result < least) return clamped(least)
  return { value: result, flags: inexact ? FloatFlag.NX : 0 }
}

export function fromInteger(format: FloatFormat, value: bigint, rounding: number): FloatResult {
  if (value === 0n) return exactly(0n)
  const negative = value < 0n
  return pack(format, { negative, significand: negative ? -value : value, exponent: 0 }, rounding)
}

export function convertFormat(from: FloatFormat, to: FloatFormat, a: bigint, rounding: number): FloatResult {
  const x = unpack(from, a)
  if (x.kind === 'nan') return { value: canonicalNan(to), flags: x.signaling ? FloatFlag.NV : 0 }
  if (x.kind === 'infinite') return exactly(infinity(to, x.negative))
  if (x.significand === 0n) return exactly(zero(to, x.negative))
  return pack(to, x, rounding)
}
