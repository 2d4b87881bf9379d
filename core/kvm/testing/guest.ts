// A stand-in for a vCPU: touches guest memory through stage 2 with a TLB of its own, faulting as a vCPU does.
//
// It obeys the rules of a real one: a translation may be used until a remote flush is acknowledged, and no longer.

import { gpa, PAGE_SIZE, type Pfn } from '../../base/units.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { type FaultResult, handleGuestFault } from '../fault.ts'
import type { KvmHooks, Vm } from '../vm.ts'
import { noVcpus } from './kvm-host.ts'

interface Translation {
  readonly pfn: Pfn
  readonly writable: boolean
}

const RETRIES = 1000

export class TestGuest {
  readonly #tlb = new Map<number, Translation>()
  /** Hooks whose remote flush empties this guest's TLB, a step later. */
  readonly hooks: KvmHooks

  constructor() {
    const tlb = this.#tlb
    this.hooks = {
      ...noVcpus,
      *remoteFlush() {
        yield { at: 'kvm_flush_remote_tlbs/kick' }
        tlb.clear()
        yield { at: 'kvm_flush_remote_tlbs/acknowledged' }
      },
    }
  }

  /** Loads (value null) or stores a byte; the exit when the touch did not succeed. */
  *touch(vm: Vm, address: number, value: number | null): KernelTask<number | FaultResult> {
    const gfn = Math.floor(address / PAGE_SIZE)
    for (let i = 0; i < RETRIES; i++) {
      const cached = this.#tlb.get(gfn)
      // A fault drops what it faulted on: the permission may be there meanwhile.
      const entry = cached && (value === null || cached.writable) ? cached : this.#refill(vm, gfn)
      if (entry && (value === null || entry.writable)) {
        const frame = vm.host.memory.frame(entry.pfn)
        if (value === null) return frame[address % PAGE_SIZE]
        frame[address % PAGE_SIZE] = value
        return value
      }
      // What did not allow the access is looked up anew once the fault is served.
      this.#tlb.delete(gfn)
      yield { at: 'guest/page_fault' }
      const result = yield* handleGuestFault(vm, gpa(address), value === null ? 'read' : 'write')
      if (result.kind !== 'resume') return result
    }
    throw new Error(`the guest faults for ever at ${address.toString(16)}`)
  }

  #refill(vm: Vm, gfn: number): Translation | null {
    const leaf = vm.stage2.leaf(gfn)
    if (leaf) this.#tlb.set(gfn, leaf)
    return leaf
  }

  /** M3: translations that stage 2 no longer has. */
  stale(vm: Vm): string[] {
    return [...this.#tlb].flatMap(([gfn, { pfn }]) =>
      vm.stage2.leaf(gfn)?.pfn === pfn ? [] : [`M3: the TLB still translates gfn ${gfn} to frame ${pfn}`],
    )
  }
}
