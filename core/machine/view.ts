// Read access to a machine's shared tables: what the page draws from.

import { ByteRing } from '../devices/byte-ring.ts'
import { CONSOLE_RING, UART_WORDS } from '../devices/platform-devices.ts'
import { TX_CAPACITY, UartLayout } from '../devices/uart16550/registers.ts'
import { CONSOLE_OUTPUT_BYTES } from '../devices/virtio-console/registers.ts'
import { FolioTable } from '../host/folio-table.ts'
import {
  type HostLayout,
  HYPERVISOR_RING_RECORDS,
  hostLayout,
  TRACE_RINGS,
  VCPU_RING_RECORDS,
} from '../host/layout.ts'
import { MachineTables } from '../host/tables.ts'
import { TraceRing, traceRingBytes } from '../trace/ring.ts'

export { FolioTable, PageType, PG } from '../host/folio-table.ts'
export { Header, type HostLayout } from '../host/layout.ts'
export {
  FileKind,
  type FileRow,
  type GfnRange,
  MachineTables,
  type SlotRow,
  VmFloat,
  VmWord,
} from '../host/tables.ts'

export class MachineView {
  readonly layout: HostLayout
  readonly folios: FolioTable
  readonly tables: MachineTables
  readonly traces: readonly TraceRing[]
  /** The serial line's output. This view is its one reader; bytes it takes are gone from the ring. */
  readonly console: ByteRing
  /** The virtio console's output, likewise. */
  readonly virtioConsole: ByteRing
  readonly #words: Int32Array

  constructor(memory: WebAssembly.Memory) {
    this.layout = hostLayout(memory.buffer.byteLength)
    this.folios = new FolioTable(memory.buffer, this.layout)
    this.tables = new MachineTables(memory.buffer, this.layout)
    this.#words = new Int32Array(memory.buffer, 0, 1024)
    let at = this.layout.traces
    this.traces = Array.from({ length: TRACE_RINGS }, (_, thread) => {
      const records = thread === 0 ? HYPERVISOR_RING_RECORDS : VCPU_RING_RECORDS
      const ring = new TraceRing(memory.buffer, at, records)
      at += traceRingBytes(records)
      return ring
    })
    const transmit = this.layout.devices + UART_WORDS + UartLayout.TX_RING
    const printed = this.layout.devices + CONSOLE_RING
    this.virtioConsole = new ByteRing(memory.buffer, printed, CONSOLE_OUTPUT_BYTES)
    this.console = new ByteRing(memory.buffer, transmit, TX_CAPACITY)
  }

  header(word: number): number {
    return Atomics.load(this.#words, word)
  }
}
