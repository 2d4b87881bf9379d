// The event log: merges the threads' trace rings into one list by time, and pairs up conversions.

import type { MachineView } from '../../core/machine/view.ts'
import { Asker, traceEventNumber, traceEvents } from '../../core/trace/events.ts'
import type { TraceRecord } from '../../core/trace/ring.ts'

/** Events kept for the list; the rings keep their own. */
const KEPT_EVENTS = 4_096
const KEPT_CONVERSIONS = 1_024

export interface LogEvent {
  /** Rises by one an event; the list's key. */
  readonly id: number
  readonly name: string
  readonly thread: number
  /** Microseconds since the machine's epoch. */
  readonly time: number
  readonly fields: readonly (readonly [name: string, value: number])[]
}

/** One change of attributes: who asked, what, and what KVM did for it. */
export interface Conversion {
  readonly id: number
  readonly time: number
  /** gfns [start, end). */
  readonly start: number
  readonly end: number
  /** Attribute bits before; null when the kernel never got as far. */
  readonly from: number | null
  readonly to: number
  /** Empty while it is under way: the kernel does not know, the VMM says at the end. */
  readonly asker: string
  /** Stage-2 leaves zapped. */
  readonly zapped: number
  /** Nanoseconds from the ask to done; null while it is under way. */
  readonly ns: number | null
  /** 0, or why it was refused. */
  readonly errno: number
}

const CONVERT = new Set(['kvm_gmem_convert', 'gunyah_gmem_convert'].map(traceEventNumber))
const DONE = traceEventNumber('gmemscope_convert_done')
const MMIO = new Set(['kvm_mmio', 'gunyah_vcpu_mmio'].map(traceEventNumber))
/** A guest's entries and exits. */
const CROSSINGS = new Set(
  ['kvm_entry', 'kvm_exit', 'gunyah_vcpu_entry', 'gunyah_vcpu_exit', 'gunyah_vcpu_run'].map(traceEventNumber),
)

const askers: Readonly<Record<number, string>> = {
  [Asker.guest]: 'guest',
  [Asker.vmm]: 'VMM',
  [Asker.hostPanel]: 'host panel',
}

/** Drops the oldest, seldom: only when there are twice as many as are kept. */
const trim = (list: unknown[], kept: number): void => {
  if (list.length > 2 * kept) list.splice(0, list.length - kept)
}

export class EventLog {
  readonly events: LogEvent[] = []
  /** Device accesses, apart: a busy serial line would push everything else out. */
  readonly deviceAccesses: LogEvent[] = []
  readonly conversions: Conversion[] = []
  /** Records overwritten before the page read them. */
  lost = 0
  /** Conversions that came to their end, refused ones too. */
  completed = 0
  version = 0
  readonly #view: MachineView
  readonly #next: number[]
  #ids = 0

  constructor(view: MachineView) {
    this.#view = view
    this.#next = view.traces.map(() => 0)
  }

  /** Reads what the rings gained; true when the lists changed. */
  read(): boolean {
    const fresh: TraceRecord[] = []
    if (this.#view.traces.some((ring, thread) => ring.head < this.#next[thread])) this.#startOver()
    this.#view.traces.forEach((ring, thread) => {
      if (ring.head === this.#next[thread]) return
      const { records, next, lost } = ring.read(this.#next[thread])
      this.#next[thread] = next
      this.lost += lost
      fresh.push(...records)
    })
    if (!fresh.length) return false
    fresh.sort((a, b) => a.time - b.time)
    const before = this.#ids
    for (const record of fresh) this.#add(record)
    if (this.#ids === before) return false
    trim(this.events, KEPT_EVENTS)
    trim(this.deviceAccesses, KEPT_EVENTS)
    trim(this.conversions, KEPT_CONVERSIONS)
    this.version++
    return true
  }

  #add(record: TraceRecord): void {
    const { event, thread, time, fields } = record
    // Too many to list; the status bar shows their rate.
    if (CROSSINGS.has(event)) return
    const row = traceEvents[event]
    if (!row) return
    const entry: LogEvent = {
      id: ++this.#ids,
      name: row.name,
      thread,
      time,
      fields: row.fields.map((name, i) => [name, fields[i]]),
    }
    if (MMIO.has(event)) this.deviceAccesses.push(entry)
    else this.events.push(entry)
    if (CONVERT.has(event)) this.#convert(entry.id, record)
    else if (event === DONE) this.#done(entry.id, record)
  }

  #convert(id: number, { time, fields: [start, end, from, to, zapped] }: TraceRecord): void {
    this.conversions.push({ id, time, start, end, from, to, asker: '', zapped, ns: null, errno: 0 })
  }

  /** A ring that starts over belongs to a machine that was reset: its past is gone. */
  #startOver(): void {
    this.#next.fill(0)
    this.events.length = 0
    this.deviceAccesses.length = 0
    this.conversions.length = 0
    this.completed = 0
    this.lost = 0
  }

  /** Completes the conversion it ends; a refusal has only this event. */
  #done(id: number, { time, fields: [start, end, to, asker, ns, errno] }: TraceRecord): void {
    this.completed++
    const at = this.conversions.findLastIndex(
      (c) => c.ns === null && c.start === start && c.end === end && c.to === to,
    )
    const who = askers[asker] ?? String(asker)
    if (at >= 0) this.conversions[at] = { ...this.conversions[at], asker: who, ns, errno }
    else {
      this.conversions.push({ id, time, start, end, from: null, to, asker: who, zapped: 0, ns, errno })
    }
  }
}
