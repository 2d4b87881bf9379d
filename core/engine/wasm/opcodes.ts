// WebAssembly opcodes by the name of their text format (core specification 2.0, chapter 5; threads proposal).

export const i32Binary = {
  eq: 0x46,
  ne: 0x47,
  lt_s: 0x48,
  lt_u: 0x49,
  gt_s: 0x4a,
  gt_u: 0x4b,
  le_u: 0x4d,
  ge_s: 0x4e,
  ge_u: 0x4f,
  add: 0x6a,
  sub: 0x6b,
  mul: 0x6c,
  and: 0x71,
  or: 0x72,
  xor: 0x73,
  shl: 0x74,
  shr_s: 0x75,
  shr_u: 0x76,
} as const

export const i32Unary = { eqz: 0x45 } as const

export const i64Binary = {
  add: 0x7c,
  sub: 0x7d,
  mul: 0x7e,
  div_s: 0x7f,
  div_u: 0x80,
  rem_s: 0x81,
  rem_u: 0x82,
  and: 0x83,
  or: 0x84,
  xor: 0x85,
  shl: 0x86,
  shr_s: 0x87,
  shr_u: 0x88,
  rotl: 0x89,
  rotr: 0x8a,
} as const

export const i64Compare = {
  eq: 0x51,
  ne: 0x52,
  lt_s: 0x53,
  lt_u: 0x54,
  ge_s: 0x59,
  ge_u: 0x5a,
} as const

export const i64Unary = {
  clz: 0x79,
  ctz: 0x7a,
  popcnt: 0x7b,
  extend8_s: 0xc2,
  extend16_s: 0xc3,
  extend32_s: 0xc4,
} as const

/** Plain loads and stores: opcode and log2 of the access size. */
export const i64Loads = {
  load: [0x29, 3],
  load8_s: [0x30, 0],
  load8_u: [0x31, 0],
  load16_s: [0x32, 1],
  load16_u: [0x33, 1],
  load32_s: [0x34, 2],
  load32_u: [0x35, 2],
} as const
export const i64Stores = {
  store: [0x37, 3],
  store8: [0x3c, 0],
  store16: [0x3d, 1],
  store32: [0x3e, 2],
} as const
export const i32Loads = { load: [0x28, 2], load8_u: [0x2d, 0], load16_u: [0x2f, 1] } as const
export const i32Stores = { store: [0x36, 2] } as const

/** Atomic operations (prefix 0xfe); the 32 forms zero-extend into i64. */
export const i64Atomics = {
  add: [0x1f, 3],
  add32: [0x24, 2],
  and: [0x2d, 3],
  and32: [0x32, 2],
  or: [0x34, 3],
  or32: [0x39, 2],
  xor: [0x3b, 3],
  xor32: [0x40, 2],
  xchg: [0x42, 3],
  xchg32: [0x47, 2],
} as const
export const i64AtomicLoads = { load: [0x11, 3], load32: [0x16, 2] } as const
export const i64CompareExchange = { cmpxchg: [0x49, 3], cmpxchg32: [0x4e, 2] } as const
export const i32AtomicLoad = [0x10, 2] as const
export const i32Atomics = { and: [0x2c, 2], or: [0x33, 2] } as const

export const valueTypes = { i32: 0x7f, i64: 0x7e, f64: 0x7c } as const
export type ValueType = keyof typeof valueTypes
