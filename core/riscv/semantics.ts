// What an instruction does, as data: small expression trees that the interpreter (registers in memory) and a
// region compiler (registers in locals) turn into code, each in its own way.
//
// Values are 64-bit integers. Narrow instructions say so with sext32 and zext32.

/** clz, ctz, cpop count in 64 bits (64 when there is none); rev8 reverses bytes, orc.b spreads each byte's bits over it. */
export type UnaryOp = 'sext32' | 'zext32' | 'clz' | 'ctz' | 'cpop' | 'rev8' | 'orc.b'
export type BinaryOp =
  | 'add'
  | 'sub'
  | 'and'
  | 'or'
  | 'xor'
  | 'sll'
  | 'srl'
  | 'sra'
  | 'rol'
  | 'ror'
  | 'mul'
  | 'mulh'
  | 'mulhu'
  | 'mulhsu'
  | 'div'
  | 'divu'
  | 'rem'
  | 'remu'
export type CompareOp = 'eq' | 'ne' | 'lt' | 'ge' | 'ltu' | 'geu'

/** A truth value over two 64-bit operands. */
export interface Condition {
  readonly op: CompareOp
  readonly a: Expr
  readonly b: Expr
}

/** A 64-bit value. Shifts and rotations use the low six bits of their right operand; division is RISC-V's (never traps). */
export type Expr =
  | { readonly op: 'rs1' | 'rs2' | 'imm' | 'pc' }
  | { readonly op: 'const'; readonly value: number }
  | { readonly op: 'bool'; readonly condition: Condition }
  /** `a` when the condition holds, else `b`. */
  | { readonly op: 'select'; readonly condition: Condition; readonly a: Expr; readonly b: Expr }
  | { readonly op: UnaryOp; readonly a: Expr }
  | { readonly op: BinaryOp; readonly a: Expr; readonly b: Expr }

export type AmoOp = 'swap' | 'add' | 'and' | 'or' | 'xor' | 'min' | 'max' | 'minu' | 'maxu'
/** Operations of F and D by what they compute; from- and to- are conversions, to-bits and from-bits are moves. */
export type FloatOp =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'sqrt'
  | 'fmadd'
  | 'fmsub'
  | 'fnmsub'
  | 'fnmadd'
  | 'sgnj'
  | 'sgnjn'
  | 'sgnjx'
  | 'min'
  | 'max'
  | 'eq'
  | 'lt'
  | 'le'
  | 'class'
  | 'from-float'
  | 'to-bits'
  | 'from-bits'
  | `${'to' | 'from'}-${'w' | 'wu' | 'l' | 'lu'}`
/** inval, clean, flush: Zicbom; zero: Zicboz. */
export type CboAction = 'inval' | 'clean' | 'flush' | 'zero'
/** The size of a cache block, as the device tree says it. */
export const CBO_BLOCK_BYTES = 64
export type AccessBytes = 1 | 2 | 4 | 8

/** The effect of one instruction; the pc advances unless it says otherwise. */
export type Semantics =
  | { readonly kind: 'compute'; readonly rd: Expr }
  | { readonly kind: 'load'; readonly bytes: AccessBytes; readonly signed: boolean; readonly address: Expr }
  | { readonly kind: 'store'; readonly bytes: AccessBytes; readonly address: Expr; readonly value: Expr }
  /** Adds imm to the pc when the condition holds. */
  | { readonly kind: 'branch'; readonly when: Condition }
  /** Puts the address of the next instruction in rd and continues at `target`. */
  | { readonly kind: 'jump'; readonly target: Expr }
  /** Atomic operations at address rs1; rd gets the old value, sign-extended (sc: 0 or 1). */
  | { readonly kind: 'lr'; readonly bytes: 4 | 8 }
  | { readonly kind: 'sc'; readonly bytes: 4 | 8 }
  | { readonly kind: 'amo'; readonly bytes: 4 | 8; readonly apply: AmoOp }
  /** rd gets the CSR; write, set or clear it by `source` (set and clear only if the rs1 field is not 0). */
  | { readonly kind: 'csr'; readonly action: 'write' | 'set' | 'clear'; readonly source: Expr }
  /** An operand or the result, of that width, is floating-point (from-float: the result); they are illegal while FS is off. */
  | { readonly kind: 'float'; readonly op: FloatOp; readonly bytes: 4 | 8 }
  /** Loads the floating-point register rd: four bytes are boxed in ones. */
  | { readonly kind: 'float-load'; readonly bytes: 4 | 8; readonly address: Expr }
  | { readonly kind: 'float-store'; readonly bytes: 4 | 8; readonly address: Expr }
  /** On the cache block of CBO_BLOCK_BYTES around rs1. */
  | { readonly kind: 'cbo'; readonly action: CboAction }
  /** Those of Svinval that only order what sinval.vma does. */
  | { readonly kind: 'sfence.inval' }
  | { readonly kind: 'fence' | 'fence.i' | 'ecall' | 'ebreak' | 'sret' | 'wfi' | 'sfence.vma' }

export const rs1: Expr = { op: 'rs1' }
export const rs2: Expr = { op: 'rs2' }
export const imm: Expr = { op: 'imm' }
export const pc: Expr = { op: 'pc' }

export const constant = (value: number): Expr => ({ op: 'const', value })
export const bool = (condition: Condition): Expr => ({ op: 'bool', condition })
export const select = (condition: Condition, a: Expr, b: Expr): Expr => ({ op: 'select', condition, a, b })
export const unary = (op: UnaryOp, a: Expr): Expr => ({ op, a })
export const binary = (op: BinaryOp, a: Expr, b: Expr): Expr => ({ op, a, b })
export const compare = (op: CompareOp, a: Expr, b: Expr): Condition => ({ op, a, b })
export const sext32 = (a: Expr): Expr => unary('sext32', a)
export const zext32 = (a: Expr): Expr => unary('zext32', a)
