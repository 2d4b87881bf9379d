// Traps into VS mode, sret, and interrupts. All exceptions and VS interrupts are delegated to the guest.
// Source: privileged architecture 20240411, 12.1 (supervisor CSRs), 12.1.1.1 (stacks), 12.1.3 (interrupts).

import { Interrupt, Sstatus } from '../riscv/csr.ts'
import { INTERRUPT_PRIORITY } from '../riscv/trap.ts'
import { load32, load64, type Runtime, store32, store64 } from './runtime.ts'
import { Vcpu } from './vcpu-block.ts'
import type { Callable } from './wasm/function.ts'

const INTERRUPT_BIT = 1n << 63n

export interface Traps {
  /** time(base): the guest's clock in ticks. */
  readonly time: Callable<readonly ['i32'], 'i64'>
  /** pending(base): sip. */
  readonly pending: Callable<readonly ['i32'], 'i32'>
  /** trap(base, scause, stval): takes a trap from the pc in the block. */
  readonly trap: Callable<readonly ['i32', 'i64', 'i64'], null>
  /** sret(base). */
  readonly sret: Callable<readonly ['i32'], null>
  /** interrupt(base): takes the highest pending and enabled interrupt, if any. */
  readonly interrupt: Callable<readonly ['i32'], null>
}

/** Adds the functions to the module. */
export function buildTraps({ module, now }: Runtime): Traps {
  const time = module.function(['i32'], 'i64', (f, base) =>
    f.return(f.i64.trunc_sat_f64_u(f.f64.add(f.call(now), f.f64.load(f.get(base), Vcpu.TIME_DELTA)))),
  )

  const pending = module.function(['i32'], 'i32', (f, base) => {
    const bits = f.local('i32')
    f.set(
      bits,
      f.i32.and(f.i32.atomic.load(f.get(base), Vcpu.PENDING), f.i32.const(Interrupt.SSI | Interrupt.SEI)),
    )
    f.if(f.i64.ge_u(f.call(time, f.get(base)), load64(f, base, 'STIMECMP')), () =>
      f.set(bits, f.i32.or(f.get(bits), f.i32.const(Interrupt.STI))),
    )
    f.return(f.get(bits))
  })

  const trap = module.function(['i32', 'i64', 'i64'], null, (f, base, cause, value) => {
    const status = f.local('i64')
    f.set(status, load64(f, base, 'SSTATUS'))
    // SPIE = SIE, SIE = 0, SPP = the privilege the trap comes from.
    store64(f, base, 'SSTATUS', () =>
      f.i64.or(
        f.i64.and(f.get(status), f.i64.const(~(Sstatus.SIE | Sstatus.SPIE | Sstatus.SPP))),
        f.i64.or(
          f.i64.shl(
            f.i64.and(f.get(status), f.i64.const(Sstatus.SIE)),
            f.i64.const(Math.log2(Sstatus.SPIE / Sstatus.SIE)),
          ),
          f.i64.shl(f.i64.extend_u(load32(f, base, 'PRIV')), f.i64.const(Math.log2(Sstatus.SPP))),
        ),
      ),
    )
    store64(f, base, 'SEPC', () => load64(f, base, 'PC'))
    store64(f, base, 'SCAUSE', () => f.get(cause))
    store64(f, base, 'STVAL', () => f.get(value))
    store64(f, base, 'PC', () => f.i64.and(load64(f, base, 'STVEC'), f.i64.const(-4)))
    // Vectored mode (stvec bit 0): interrupts go to base + 4 * cause.
    f.if(
      f.i32.and(f.i32.wrap(load64(f, base, 'STVEC')), f.i32.wrap(f.i64.shr_u(f.get(cause), f.i64.const(63)))),
      () =>
        store64(f, base, 'PC', () =>
          f.i64.add(load64(f, base, 'PC'), f.i64.shl(f.get(cause), f.i64.const(2))),
        ),
    )
    store32(f, base, 'PRIV', () => f.i32.const(1))
    store32(f, base, 'LR_HPA', () => f.i32.const(0))
  })

  const sret = module.function(['i32'], null, (f, base) => {
    const status = f.local('i64')
    f.set(status, load64(f, base, 'SSTATUS'))
    store32(f, base, 'PRIV', () =>
      f.i32.wrap(f.i64.and(f.i64.shr_u(f.get(status), f.i64.const(Math.log2(Sstatus.SPP))), f.i64.const(1))),
    )
    // SIE = SPIE, SPIE = 1, SPP = U.
    store64(f, base, 'SSTATUS', () =>
      f.i64.or(
        f.i64.and(f.get(status), f.i64.const(~(Sstatus.SIE | Sstatus.SPP))),
        f.i64.or(
          f.i64.const(Sstatus.SPIE),
          f.i64.shr_u(
            f.i64.and(f.get(status), f.i64.const(Sstatus.SPIE)),
            f.i64.const(Math.log2(Sstatus.SPIE / Sstatus.SIE)),
          ),
        ),
      ),
    )
    store64(f, base, 'PC', () => load64(f, base, 'SEPC'))
    store32(f, base, 'LR_HPA', () => f.i32.const(0))
  })

  const interrupt = module.function(['i32'], null, (f, base) => {
    const bits = f.local('i32')
    // The guest takes interrupts in VU always, in VS while SIE is set.
    f.if(
      f.i32.and(
        load32(f, base, 'PRIV'),
        f.i64.eqz(f.i64.and(load64(f, base, 'SSTATUS'), f.i64.const(Sstatus.SIE))),
      ),
      () => f.return(),
    )
    f.if(f.i64.eqz(load64(f, base, 'SIE')), () => f.return())
    f.set(bits, f.i32.and(f.call(pending, f.get(base)), f.i32.wrap(load64(f, base, 'SIE'))))
    for (const number of INTERRUPT_PRIORITY)
      f.if(f.i32.and(f.get(bits), f.i32.const(1 << number)), () => {
        f.call(trap, f.get(base), f.i64.const(INTERRUPT_BIT | BigInt(number)), f.i64.const(0))
        f.return()
      })
  })

  return { time, pending, trap, sret, interrupt }
}
