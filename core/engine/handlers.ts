// Interpreter code for each kind of semantics. A handler starts with the instruction in `word` and ends by branching:
// to `next` with ip moved, to `jump` with the target in va, or to one of the exits.

import { Senvcfg } from '../riscv/csr.ts'
import { DECODE_INDEX_MASK } from '../riscv/decode.ts'
import { type Field, type Format, formats } from '../riscv/format.ts'
import type { Instruction } from '../riscv/instruction.ts'
import { type AmoOp, CBO_BLOCK_BYTES, type CboAction, type Semantics } from '../riscv/semantics.ts'
import { Cause } from '../riscv/trap.ts'
import { compileCondition, compileExpr, compileField, type Operands } from './compile.ts'
import { CsrAction, CsrResult } from './csrs.ts'
import type { Handler } from './decode-table.ts'
import {
  advance,
  type Environment,
  fail,
  hostAddress,
  moveIp,
  registerAddress,
  tlbHit,
  writeRd,
} from './emit.ts'
import { emitFloat, emitFloatLoad, emitFloatStore } from './float-handlers.ts'
import { Access, load32, load64, NO_FAULT, store32, store64 } from './runtime.ts'
import { Exit, Vcpu } from './vcpu-block.ts'
import type { I32, I64 } from './wasm/function.ts'

/** Emits a handler: tells its instructions apart if it has several, or bits that the decode index lacks. */
export function emitHandler(env: Environment, handler: Handler): void {
  const { f, locals, labels } = env
  for (const instruction of handler) {
    const { match, mask } = instruction
    if ((mask & ~DECODE_INDEX_MASK) === 0) {
      emitInstruction(env, instruction)
      return
    }
    f.if(f.i32.eq(f.i32.and(f.get(locals.word), f.i32.const(mask)), f.i32.const(match)), () =>
      emitInstruction(env, instruction),
    )
  }
  f.br(labels.illegal)
}

function emitInstruction(env: Environment, instruction: Instruction): void {
  const { f, locals, helpers } = env
  const immediate = (): I32 => compileField(f, locals.word, immediateField(instruction))
  const from: Operands = {
    rs1: () => f.i64.load(registerAddress(env, 15)),
    rs2: () => f.i64.load(registerAddress(env, 20)),
    imm: () => f.i64.extend_s(immediate()),
    pc: env.pc,
  }
  const s = instruction.semantics
  switch (s.kind) {
    case 'compute':
      writeRd(env, () => compileExpr(f, helpers.math, from, s.rd))
      advance(env)
      break
    case 'load':
      emitLoad(env, s, from)
      break
    case 'store':
      emitStore(env, s, from)
      break
    case 'branch':
      f.if(compileCondition(f, helpers.math, from, s.when), () => jumpBy(env, immediate, from))
      advance(env)
      break
    case 'jump':
      emitJump(env, () => compileExpr(f, helpers.math, from, s.target))
      break
    case 'lr':
    case 'sc':
    case 'amo':
      emitAtomic(env, s, from)
      break
    case 'float':
      emitFloat(env)
      break
    case 'float-load':
      emitFloatLoad(env, s, from)
      break
    case 'float-store':
      emitFloatStore(env, s, from)
      break
    case 'cbo':
      emitCbo(env, s.action, from)
      break
    case 'csr':
      env.settle()
      f.set(
        locals.target,
        f.call(
          helpers.csr,
          f.get(locals.base),
          f.get(locals.word),
          compileExpr(f, helpers.math, from, s.source),
          f.i32.const(CsrAction[s.action]),
        ),
      )
      f.brIf(env.labels.illegal, f.i32.eq(f.get(locals.target), f.i32.const(CsrResult.ILLEGAL)))
      moveIp(env)
      f.brIf(env.labels.stop, f.i32.eq(f.get(locals.target), f.i32.const(CsrResult.WRITTEN)))
      f.br(env.labels.next)
      break
    default:
      emitSystem(env, s.kind)
      break
  }
}

function immediateField({ name, format }: Instruction): Field {
  const field = (formats[format] as Format).fields.imm
  if (!field) throw new TypeError(`${name} has no immediate`)
  return field
}

/** ip = target within the page, where the jump at ip retires. */
function jumpInPage(env: Environment): void {
  const { f, locals } = env
  f.set(
    locals.bias,
    f.i32.add(
      f.get(locals.bias),
      f.i32.sub(f.i32.sub(f.get(locals.target), f.get(locals.ip)), f.get(locals.size)),
    ),
  )
  f.set(locals.ip, f.get(locals.target))
  f.brIf(env.labels.stop, env.overdue(), 'unlikely')
  f.br(env.labels.next)
}

/** Jumps by an offset of 32 bits: stays in the page by host addresses alone. */
function jumpBy(env: Environment, offset: () => I32, from: Operands): void {
  const { f, locals } = env
  f.set(locals.target, f.i32.add(f.get(locals.ip), offset()))
  f.if(
    f.i32.eqz(f.i32.and(f.i32.xor(f.get(locals.target), f.get(locals.ip)), f.i32.const(~0xffe))),
    () => jumpInPage(env),
    undefined,
    'likely',
  )
  f.set(locals.va, f.i64.add(from.pc(), from.imm()))
  f.br(env.labels.jump)
}

function emitJump(env: Environment, target: () => I64): void {
  const { f, locals } = env
  f.set(locals.va, target())
  writeRd(env, () => f.i64.add(env.pc(), f.i64.extend_u(f.get(locals.size))))
  f.brIf(env.labels.jump, f.i64.ne(f.i64.and(f.get(locals.va), f.i64.const(-4096)), f.get(locals.pageVa)))
  f.set(
    locals.target,
    f.i32.or(f.get(locals.page), f.i32.and(f.i32.wrap(f.get(locals.va)), f.i32.const(0xfff))),
  )
  jumpInPage(env)
}

function emitLoad(env: Environment, s: Extract<Semantics, { kind: 'load' }>, from: Operands): void {
  const { f, locals, helpers, fault } = env
  const load = s.signed
    ? { 1: f.i64.load8_s, 2: f.i64.load16_s, 4: f.i64.load32_s, 8: f.i64.load }[s.bytes]
    : { 1: f.i64.load8_u, 2: f.i64.load16_u, 4: f.i64.load32_u, 8: f.i64.load }[s.bytes]
  const extend = (value: I64): I64 =>
    s.signed && s.bytes < 8
      ? { 1: f.i64.extend8_s, 2: f.i64.extend16_s, 4: f.i64.extend32_s }[s.bytes as 1 | 2 | 4](value)
      : value
  f.set(locals.va, compileExpr(f, helpers.math, from, s.address))
  f.if(
    tlbHit(env, Access.READ, s.bytes),
    () => {
      writeRd(env, () => load(hostAddress(env, Access.READ)))
      advance(env)
    },
    undefined,
    'likely',
  )
  f.set(locals.value, f.call(helpers.load, f.get(locals.base), f.get(locals.va), f.i32.const(s.bytes)))
  f.brIf(env.labels.failed, f.i32.ne(f.getGlobal(fault.cause), f.i32.const(NO_FAULT)))
  writeRd(env, () => extend(f.get(locals.value)))
  advance(env)
}

function emitStore(env: Environment, s: Extract<Semantics, { kind: 'store' }>, from: Operands): void {
  const { f, locals, helpers } = env
  const store = { 1: f.i64.store8, 2: f.i64.store16, 4: f.i64.store32, 8: f.i64.store }[s.bytes]
  const value = () => compileExpr(f, helpers.math, from, s.value)
  f.set(locals.va, compileExpr(f, helpers.math, from, s.address))
  f.if(
    tlbHit(env, Access.WRITE, s.bytes),
    () => {
      store(hostAddress(env, Access.WRITE), value())
      advance(env)
    },
    undefined,
    'likely',
  )
  f.brIf(
    env.labels.failed,
    f.call(helpers.store, f.get(locals.base), f.get(locals.va), value(), f.i32.const(s.bytes)),
  )
  advance(env)
}

function emitAtomic(
  env: Environment,
  s: Extract<Semantics, { kind: 'lr' | 'sc' | 'amo' }>,
  from: Operands,
): void {
  const { f, locals, helpers } = env
  const narrow = s.bytes === 4
  const load = narrow ? f.i64.atomic.load32 : f.i64.atomic.load
  const exchange = narrow ? f.i64.atomic.cmpxchg32 : f.i64.atomic.cmpxchg
  const low = (value: I64): I64 => (narrow ? f.i64.extend_u(f.i32.wrap(value)) : value)
  const extended = (value: I64): I64 => (narrow ? f.i64.extend32_s(value) : value)
  const reading = s.kind === 'lr'
  // An sc of the other width must fail: the bytes it writes may not all be reserved.
  const reservation = (): I32 => f.i32.or(f.get(locals.host), f.i32.const(narrow ? 1 : 0))

  f.set(locals.va, from.rs1())
  f.if(
    f.i32.and(f.i32.wrap(f.get(locals.va)), f.i32.const(s.bytes - 1)),
    () => fail(env, reading ? Cause.LOAD_MISALIGNED : Cause.STORE_MISALIGNED, () => f.get(locals.va)),
    undefined,
    'unlikely',
  )
  f.set(
    locals.host,
    f.call(
      helpers.locate,
      f.get(locals.base),
      f.get(locals.va),
      f.i32.const(reading ? Access.READ : Access.WRITE),
    ),
  )
  f.brIf(env.labels.failed, f.i32.eqz(f.get(locals.host)), 'unlikely')

  if (s.kind === 'lr') {
    f.set(locals.value, load(f.get(locals.host)))
    store32(f, locals.base, 'LR_HPA', reservation)
    store64(f, locals.base, 'LR_VALUE', () => f.get(locals.value))
    writeRd(env, () => extended(f.get(locals.value)))
  } else if (s.kind === 'sc') {
    // The reservation holds while the value is what LR saw.
    f.set(locals.value, f.i64.const(1))
    f.if(f.i32.eq(load32(f, locals.base, 'LR_HPA'), reservation()), () => {
      const expected = (): I64 => low(f.i64.load(f.get(locals.base), Vcpu.LR_VALUE))
      f.set(
        locals.value,
        f.i64.extend_u(f.i64.ne(exchange(f.get(locals.host), expected(), low(from.rs2())), expected())),
      )
    })
    store32(f, locals.base, 'LR_HPA', () => f.i32.const(0))
    writeRd(env, () => f.get(locals.value))
  } else {
    emitAmo(env, s.apply, narrow, { load, exchange, low, extended, rs2: from.rs2 })
  }
  advance(env)
}

interface Width {
  readonly load: (address: I32) => I64
  readonly exchange: (address: I32, expected: I64, replacement: I64) => I64
  /** The part of a 64-bit value that is stored. */
  readonly low: (value: I64) => I64
  /** A loaded value as rd shows it. */
  readonly extended: (value: I64) => I64
  readonly rs2: () => I64
}

const direct = { swap: 'xchg', add: 'add', and: 'and', or: 'or', xor: 'xor' } as const
const isDirect = (op: AmoOp): op is keyof typeof direct => op in direct

/** rd = memory at `host`, memory = memory op rs2, atomically. */
function emitAmo(env: Environment, apply: AmoOp, narrow: boolean, width: Width): void {
  const { f, locals } = env
  const { load, exchange, low, extended, rs2 } = width
  if (isDirect(apply)) {
    const rmw = f.i64.atomic[narrow ? (`${direct[apply]}32` as const) : direct[apply]]
    writeRd(env, () => extended(rmw(f.get(locals.host), low(rs2()))))
    return
  }
  // Minimum and maximum: WebAssembly has none. Keep the old value where the comparison says so.
  const unsigned = apply.endsWith('u')
  const operand = (value: I64): I64 => (unsigned ? low(value) : extended(value))
  const less = unsigned ? f.i64.lt_u : f.i64.lt_s
  const minimum = apply.startsWith('min')
  f.loop((again) => {
    f.set(locals.value, load(f.get(locals.host)))
    f.brIf(
      again,
      f.i64.ne(
        exchange(
          f.get(locals.host),
          f.get(locals.value),
          low(
            f.select(
              minimum ? f.get(locals.value) : rs2(),
              minimum ? rs2() : f.get(locals.value),
              less(operand(f.get(locals.value)), operand(rs2())),
            ),
          ),
        ),
        f.get(locals.value),
      ),
    )
  })
  writeRd(env, () => extended(f.get(locals.value)))
}

/** What senvcfg must have for VU. */
const CBO_ENABLE = {
  inval: Senvcfg.CBIE,
  clean: Senvcfg.CBCFE,
  flush: Senvcfg.CBCFE,
  zero: Senvcfg.CBZE,
} as const

/**
 * Caches are coherent here, so management is nothing but its access check: that of a load, reported as a store's. VS
 * may always; VU without permission traps to the hypervisor, which makes an illegal instruction of it.
 */
function emitCbo(env: Environment, action: CboAction, from: Operands): void {
  const { f, locals, helpers, fault } = env
  const access = action === 'zero' ? Access.WRITE : Access.READ
  f.if(f.i32.eqz(load32(f, locals.base, 'PRIV')), () =>
    f.brIf(
      env.labels.illegal,
      f.i64.eqz(f.i64.and(load64(f, locals.base, 'SENVCFG'), f.i64.const(CBO_ENABLE[action]))),
    ),
  )
  f.set(locals.va, from.rs1())
  f.set(locals.host, f.call(helpers.locate, f.get(locals.base), f.get(locals.va), f.i32.const(access)))
  f.if(
    f.i32.eqz(f.get(locals.host)),
    () => {
      if (access === Access.READ)
        f.setGlobal(
          fault.cause,
          f.i32.add(f.getGlobal(fault.cause), f.i32.const(Cause.STORE_PAGE_FAULT - Cause.LOAD_PAGE_FAULT)),
        )
      f.br(env.labels.failed)
    },
    undefined,
    'unlikely',
  )
  if (action === 'zero')
    f.fill(
      f.i32.and(f.get(locals.host), f.i32.const(-CBO_BLOCK_BYTES)),
      f.i32.const(0),
      f.i32.const(CBO_BLOCK_BYTES),
    )
  advance(env)
}

type SystemKind = Exclude<
  Semantics['kind'],
  'compute' | 'load' | 'store' | 'branch' | 'jump' | 'lr' | 'sc' | 'amo' | 'csr' | 'cbo' | `float${string}`
>

function emitSystem(env: Environment, kind: SystemKind): void {
  const { f, locals, labels, helpers } = env
  const privileged = (): void => f.brIf(labels.illegal, f.i32.eqz(load32(f, locals.base, 'PRIV')))
  switch (kind) {
    case 'fence':
      f.fence()
      advance(env)
      break
    case 'fence.i':
      // Fetch reads memory itself, so there is nothing to discard but the order of loads.
      f.fence()
      advance(env)
      break
    case 'ecall':
      f.if(load32(f, locals.base, 'PRIV'), () => fail(env, Exit.VS_ECALL, () => f.i64.const(0)))
      fail(env, Cause.ECALL_FROM_U, () => f.i64.const(0))
      break
    case 'ebreak':
      fail(env, Cause.BREAKPOINT, env.pc)
      break
    case 'wfi':
      // hstatus.VTW is set: VS mode waits in the hypervisor. VU mode may not wait at all; KVM turns the virtual
      // instruction fault of a user program into an illegal instruction.
      privileged()
      fail(env, Cause.VIRTUAL_INSTRUCTION, () => f.i64.extend_u(f.get(locals.word)))
      break
    case 'sret':
      privileged()
      env.settle()
      store64(f, locals.base, 'INSTRET', () =>
        f.i64.add(f.i64.load(f.get(locals.base), Vcpu.INSTRET), f.i64.const(1)),
      )
      f.call(helpers.traps.sret, f.get(locals.base))
      env.exitSlice()
      break
    case 'sfence.inval':
      // sinval.vma has dropped the translations itself.
      privileged()
      advance(env)
      break
    case 'sfence.vma':
      privileged()
      // rs1 = x0: every address. There are no ASIDs, so every one is meant.
      f.if(
        f.i32.and(f.get(locals.word), f.i32.const(0xf8000)),
        () => f.call(helpers.flushPage, f.get(locals.base), f.i64.load(registerAddress(env, 15))),
        () => f.call(helpers.flush, f.get(locals.base)),
      )
      moveIp(env)
      f.br(labels.stop)
      break
  }
}
