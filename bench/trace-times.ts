// Times from trace records: how long a vCPU was out of its guest and why, and how long a conversion took.
//
// All threads' records carry microseconds on one clock, to 0.1 us in Node and to 5 us in Chromium (the
// resolution of performance.now() in an isolated page). Rates come from whole batches and do not suffer from it.

import { Exit } from '../core/engine/vcpu-block.ts'
import { Asker, traceEventNumber } from '../core/trace/events.ts'
import type { TraceRecord } from '../core/trace/ring.ts'

const KVM_ENTRY = traceEventNumber('kvm_entry')
const KVM_EXIT = traceEventNumber('kvm_exit')
const CONVERT_DONE = traceEventNumber('gmemscope_convert_done')

/** Times of one kind of event within a batch, in microseconds. */
export interface Times {
  readonly each: readonly number[]
  /** From the first event's begin to the last one's end. */
  readonly span: number
}

export interface BatchTimes {
  /** kvm_exit of a store or load page fault to the next kvm_entry: a stage-2 fault, or an MMIO exit. */
  readonly faults: Times
  /** kvm_exit of the guest's ask (cause 10) to gmemscope_convert_done. */
  readonly asks: Times
  /** The same exit to the next kvm_entry: what the guest waits. */
  readonly conversions: Times
}

/** Exits that the hypervisor thread served, each with the entry that followed. */
const roundTrips = (
  vcpu: readonly TraceRecord[],
  causes: readonly number[],
): { from: number; to: number }[] => {
  const trips: { from: number; to: number }[] = []
  for (let i = 0; i + 1 < vcpu.length; i++) {
    const [exit, entry] = [vcpu[i], vcpu[i + 1]]
    if (exit.event === KVM_EXIT && entry.event === KVM_ENTRY && causes.includes(exit.fields[1]))
      trips.push({ from: exit.time, to: entry.time })
  }
  return trips
}

const times = (trips: readonly { from: number; to: number }[]): Times => ({
  each: trips.map(({ from, to }) => to - from),
  span: trips.length === 0 ? 0 : trips[trips.length - 1].to - trips[0].from,
})

/** One vCPU's batch; `hypervisor` and `vcpu` are the records of the two threads' rings, in order. */
export const batchTimes = (hypervisor: readonly TraceRecord[], vcpu: readonly TraceRecord[]): BatchTimes => {
  const done = hypervisor.filter((r) => r.event === CONVERT_DONE && r.fields[3] === Asker.guest)
  // The guest's only calls that reach the hypervisor are its asks, and the power-off, which never returns.
  const conversions = roundTrips(vcpu, [Exit.VS_ECALL])
  if (conversions.length !== done.length)
    throw new Error(`${conversions.length} asks in the vCPU's trace, ${done.length} in the hypervisor's`)
  return {
    faults: times(roundTrips(vcpu, [Exit.STORE_GUEST_PAGE_FAULT, Exit.LOAD_GUEST_PAGE_FAULT])),
    asks: times(conversions.map(({ from }, i) => ({ from, to: done[i].time }))),
    conversions: times(conversions),
  }
}
