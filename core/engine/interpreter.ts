// The interpreter: a generated WebAssembly module over the shared memory.
//
// `run(base)` repeats: leave when POLL is set, take an interrupt, run a slice. A slice is one loop around one
// br_table that ends after SLICE_BYTES of instructions, at a trap, and wherever interrupts or translation may have
// changed. (A function of its own, so that engines can replace it by optimised code between two slices.)
//
// Within a slice the pc is `ip`, the host address of the instruction. The page it lies in is pageVa (guest) and page
// (host); last is the page's last half word, where an instruction may go on in another page.
//
// Straight-line code of 32-bit instructions costs nothing to count: `bias` is kept such that ip - bias is four times
// the number of instructions retired since INSTRET was stored. Jumps adjust it, and 16-bit instructions, which take
// two off it when they are decoded. (Should one of them not retire, ip - bias is two too many: dividing drops that.)

import { Cause } from '../riscv/trap.ts'
import { buildLoad, buildStore } from './access.ts'
import { buildArithmetic } from './arithmetic.ts'
import { buildCsr } from './csrs.ts'
import { handlers, ILLEGAL_HANDLER } from './decode-table.ts'
import type { Environment, Helpers } from './emit.ts'
import { emitHandler } from './handlers.ts'
import { Access, load32, load64, type Runtime, store32, store64 } from './runtime.ts'
import { buildFlush, buildFlushPage, TLB_ADDEND, tlbEntryOffset, tlbOfPrivilege } from './tlb.ts'
import { buildTraps } from './traps.ts'
import { Exit, TLB_BYTES, Vcpu } from './vcpu-block.ts'
import { buildLocate, buildTranslate } from './walk.ts'
import type { Callable, FunctionBuilder, Local } from './wasm/function.ts'
import { ModuleBuilder } from './wasm/module.ts'

const PAGE_SIZE = 4096
/** Four times the instructions between two looks at POLL and the interrupts: some 4 us. */
const SLICE_BYTES = 4 * 1024
/** A slice's result when `run` should go on. */
const CONTINUE = -1

/**
 * The interpreter module's bytes for a shared memory of `pages` 64 KiB pages. Imports `env.memory` and
 * `env.now: () -> f64`, ticks at TIMEBASE_HZ since the guest's epoch before TIME_DELTA is added, and
 * `env.float: (base, word) -> i32` (float-unit.ts). Exports
 * `run(base) -> Exit` and `flush_tlb(base)`, where base is the host address of a vCPU block.
 */
export function buildInterpreter(pages: number): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(pages)
  const runtime: Runtime = {
    module,
    now: module.import('env', 'now', [], 'f64'),
    fault: {
      cause: module.global('i32'),
      value: module.global('i64'),
      gpa: module.global('i64'),
      pseudo: module.global('i32'),
    },
  }
  const float = module.import('env', 'float', ['i32', 'i32'], 'i32')
  const flush = buildFlush(runtime)
  const translate = buildTranslate(runtime)
  const traps = buildTraps(runtime)
  const helpers: Helpers = {
    math: buildArithmetic(runtime),
    flush,
    flushPage: buildFlushPage(runtime, flush),
    translate,
    traps,
    locate: buildLocate(runtime, translate),
    load: buildLoad(runtime, translate),
    store: buildStore(runtime, translate),
    float,
    csr: buildCsr(runtime, traps, flush),
  }
  const slice = buildSlice(runtime, helpers)
  module.function(
    ['i32'],
    'i32',
    (f, base) => {
      const exit = f.local('i32')
      f.loop((again) => {
        f.if(load32(f, base, 'POLL'), () => f.return(f.i32.const(Exit.POLL)))
        f.call(traps.interrupt, f.get(base))
        f.set(exit, f.call(slice, f.get(base)))
        f.brIf(again, f.i32.eq(f.get(exit), f.i32.const(CONTINUE)))
      })
      f.return(f.get(exit))
    },
    'run',
  )
  return module.finish()
}

/** slice(base) -> Exit, or CONTINUE. */
function buildSlice(runtime: Runtime, helpers: Helpers): Callable<readonly ['i32'], 'i32'> {
  const { module, fault } = runtime
  return module.function(['i32'], 'i32', (f, base) => {
    const ip = f.local('i32')
    const bias = f.local('i32')
    const word = f.local('i32')
    const page = f.local('i32')
    const pageVa = f.local('i64')
    const last = f.local('i32')
    const size = f.local('i32')
    const tlb = f.local('i32')
    const pc = f.local('i64')
    /** Four times the instructions retired when ip and bias do not say it. */
    const done = f.local('i32')
    /** What of SLICE_BYTES is left when INSTRET was last stored. */
    const limit = f.local('i32')
    const entry = f.local('i32')
    const host = f.local('i32')
    const priv = f.local('i32')
    const target = f.local('i32')
    const va = f.local('i64')
    const value = f.local('i64')

    const currentPc = () => f.i64.add(f.get(pageVa), f.i64.extend_u(f.i32.sub(f.get(ip), f.get(page))))
    const retired = () => f.i32.sub(f.get(ip), f.get(bias))
    const is32Bit = () => f.i32.eq(f.i32.and(f.get(word), f.i32.const(3)), f.i32.const(3))
    /** Stores pc and instruction count. */
    const leave = (): void => {
      store64(f, base, 'PC', () => f.get(pc))
      count(f, base, () => f.get(done))
    }

    f.set(limit, f.i32.const(SLICE_BYTES))
    f.set(priv, load32(f, base, 'PRIV'))
    f.set(tlb, tlbOfPrivilege(f, base, priv))
    f.set(pc, f.i64.and(load64(f, base, 'PC'), f.i64.const(-2)))

    f.block((leavePc) => {
      f.block((stop) => {
        f.block((faultAtPc) => {
          f.block((failed) => {
            f.block((illegal) => {
              f.loop((goto) => {
                // Continue at pc: find its page.
                f.set(entry, f.i32.add(f.get(tlb), tlbEntryOffset(f, pc)))
                f.if(
                  f.i64.eqz(
                    f.i64.and(
                      f.i64.xor(f.i64.load(f.get(entry), Access.FETCH * TLB_BYTES), f.get(pc)),
                      f.i64.const(-4096),
                    ),
                  ),
                  () =>
                    f.set(
                      ip,
                      f.i32.add(
                        f.i32.wrap(f.get(pc)),
                        f.i32.load(f.get(entry), Access.FETCH * TLB_BYTES + TLB_ADDEND),
                      ),
                    ),
                  () => {
                    f.set(
                      ip,
                      f.call(
                        helpers.translate,
                        f.get(base),
                        f.get(pc),
                        f.i32.const(Access.FETCH),
                        f.get(priv),
                      ),
                    )
                    f.if(f.i32.eqz(f.get(ip)), () => {
                      f.set(word, f.i32.const(0))
                      f.br(faultAtPc)
                    })
                  },
                  'likely',
                )
                f.set(pageVa, f.i64.and(f.get(pc), f.i64.const(-4096)))
                f.set(page, f.i32.and(f.get(ip), f.i32.const(-4096)))
                f.set(last, f.i32.add(f.get(page), f.i32.const(PAGE_SIZE - 2)))
                f.set(bias, f.i32.sub(f.get(ip), f.get(done)))

                f.block((jump) => {
                  f.loop((next) => {
                    const env: Environment = {
                      f,
                      helpers,
                      fault,
                      locals: {
                        base,
                        ip,
                        bias,
                        word,
                        size,
                        page,
                        pageVa,
                        tlb,
                        entry,
                        host,
                        target,
                        va,
                        value,
                      },
                      labels: { next, jump, failed, illegal, stop },
                      pc: currentPc,
                      overdue: () => f.i32.gt_s(retired(), f.get(limit)),
                      /** Makes INSTRET exact before the current instruction. */
                      settle: () => {
                        count(f, base, retired)
                        f.set(limit, f.i32.sub(f.get(limit), retired()))
                        f.set(bias, f.get(ip))
                      },
                      exitSlice: () => f.return(f.i32.const(CONTINUE)),
                    }
                    f.block((decoded) => {
                      f.if(
                        f.i32.ge_u(f.get(ip), f.get(last)),
                        () => {
                          // Beyond the page, or at its last half word.
                          f.if(f.i32.ne(f.get(ip), f.get(last)), () => {
                            f.set(pc, currentPc())
                            f.set(done, retired())
                            f.brIf(leavePc, f.i32.gt_s(f.get(done), f.get(limit)))
                            f.br(goto)
                          })
                          f.set(word, f.i32.load16_u(f.get(ip)))
                          f.if(is32Bit(), () => {
                            f.set(
                              target,
                              f.call(
                                helpers.translate,
                                f.get(base),
                                f.i64.add(f.get(pageVa), f.i64.const(PAGE_SIZE)),
                                f.i32.const(Access.FETCH),
                                f.get(priv),
                              ),
                            )
                            f.if(f.i32.eqz(f.get(target)), () => {
                              f.set(word, f.i32.const(0))
                              f.br(failed)
                            })
                            f.set(
                              word,
                              f.i32.or(
                                f.get(word),
                                f.i32.shl(f.i32.load16_u(f.get(target)), f.i32.const(16)),
                              ),
                            )
                            f.set(size, f.i32.const(4))
                            f.br(decoded)
                          })
                        },
                        () => {
                          f.set(word, f.i32.load(f.get(ip)))
                          f.set(size, f.i32.const(4))
                          f.brIf(decoded, is32Bit())
                        },
                        'unlikely',
                      )
                      f.set(size, f.i32.const(2))
                      f.set(bias, f.i32.sub(f.get(bias), f.i32.const(2)))
                      f.set(
                        word,
                        f.i32.load(
                          f.i32.add(
                            f.get(base),
                            f.i32.shl(f.i32.and(f.get(word), f.i32.const(0xffff)), f.i32.const(2)),
                          ),
                          Vcpu.EXPAND,
                        ),
                      )
                    })
                    dispatch(env)
                  })
                })
                // A taken jump to va that leaves the page.
                f.set(done, f.i32.add(retired(), f.get(size)))
                f.set(pc, f.get(va))
                f.brIf(leavePc, f.i32.gt_s(f.get(done), f.get(limit)))
                f.br(goto)
              })
            })
            // stval of a 16-bit parcel is that parcel.
            f.setGlobal(fault.cause, f.i32.const(Cause.ILLEGAL_INSTRUCTION))
            f.setGlobal(
              fault.value,
              f.i64.extend_u(
                f.select(f.i32.load16_u(f.get(ip)), f.get(word), f.i32.eq(f.get(size), f.i32.const(2))),
              ),
            )
          })
          f.set(pc, currentPc())
          f.set(done, retired())
        })
        leave()
        f.if(
          f.i32.or(
            f.i32.ge_s(f.getGlobal(fault.cause), f.i32.const(Exit.FETCH_GUEST_PAGE_FAULT)),
            f.i32.eq(f.getGlobal(fault.cause), f.i32.const(Exit.VS_ECALL)),
          ),
          () => {
            store64(f, base, 'EXIT_SCAUSE', () => f.i64.extend_u(f.getGlobal(fault.cause)))
            store64(f, base, 'EXIT_STVAL', () => f.getGlobal(fault.value))
            store64(f, base, 'EXIT_GPA', () => f.getGlobal(fault.gpa))
            store32(f, base, 'EXIT_INSN', () =>
              f.select(f.getGlobal(fault.pseudo), f.get(word), f.getGlobal(fault.pseudo)),
            )
            store32(f, base, 'EXIT_INSN_LEN', () => f.select(f.get(size), f.i32.const(0), f.get(word)))
            f.return(f.getGlobal(fault.cause))
          },
        )
        f.call(
          helpers.traps.trap,
          f.get(base),
          f.i64.extend_u(f.getGlobal(fault.cause)),
          f.getGlobal(fault.value),
        )
        f.return(f.i32.const(CONTINUE))
      })
      f.set(pc, currentPc())
      f.set(done, retired())
    })
    leave()
    f.return(f.i32.const(CONTINUE))
  })
}

/** Adds instructions (given times four, or two more) to INSTRET. */
function count(f: FunctionBuilder, base: Local<'i32'>, bytes: () => ReturnType<typeof f.i32.const>): void {
  store64(f, base, 'INSTRET', () =>
    f.i64.add(load64(f, base, 'INSTRET'), f.i64.extend_u(f.i32.shr_u(bytes(), f.i32.const(2)))),
  )
}

/** One br_table into the handlers: block n ends where handler n begins. */
function dispatch(env: Environment): void {
  const { f, locals, labels } = env
  const nest = (number: number, outer: Parameters<typeof f.brTable>[0]): void => {
    if (number === ILLEGAL_HANDLER) {
      const targets = [labels.illegal, ...outer.toReversed()]
      // Bits 14:8 funct7, 7:5 funct3, 4:0 opcode without its two low bits: see riscv/decode.ts.
      const index = f.i32.or(
        f.i32.or(
          f.i32.shl(f.i32.shr_u(f.get(locals.word), f.i32.const(25)), f.i32.const(8)),
          f.i32.and(f.i32.shr_u(f.get(locals.word), f.i32.const(7)), f.i32.const(0xe0)),
        ),
        f.i32.and(f.i32.shr_u(f.get(locals.word), f.i32.const(2)), f.i32.const(0x1f)),
      )
      f.brTable(targets, labels.illegal, f.i32.load8_u(f.i32.add(f.get(locals.base), index), Vcpu.DECODE))
      return
    }
    f.block((handler) => nest(number - 1, [...outer, handler]))
    emitHandler(env, handlers[number])
  }
  nest(handlers.length - 1, [])
}
