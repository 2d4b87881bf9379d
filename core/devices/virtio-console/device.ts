// virtio-console: a terminal without a serial line (virtio 1.2, 5.3), one port, with a size that can change.
//
// Output goes into a ring in shared memory that the page reads. When the ring is full the driver's buffers wait, and
// whoever runs the machine calls `resume` once there is room: nothing is lost and nothing spins.

import type { KernelTask, Step } from '../../host/kernel-task.ts'
import type { ByteRing } from '../byte-ring.ts'
import type { Chain } from '../virtio/chain.ts'
import type { VirtioDevice, VirtioPort } from '../virtio/device.ts'
import {
  CONSOLE_CLASS_CODE,
  CONSOLE_DEVICE_TYPE,
  CONSOLE_INPUT_BYTES,
  CONSOLE_QUEUE_SIZE,
  ConsoleConfig,
  ConsoleFeature,
  ConsoleQueue,
} from './registers.ts'

/** Bytes moved at a time. */
const PIECE_BYTES = 4096
const TURN: Step = { at: 'virtio_console/print', resched: true }

export class VirtioConsole implements VirtioDevice {
  readonly name = 'virtio-console'
  readonly type = CONSOLE_DEVICE_TYPE
  readonly classCode = CONSOLE_CLASS_CODE
  readonly features = [ConsoleFeature.SIZE]
  readonly queueSizes = [CONSOLE_QUEUE_SIZE, CONSOLE_QUEUE_SIZE]
  readonly config = new Uint8Array(ConsoleConfig.BYTES)
  readonly writableConfig = [0, 0] as const
  readonly #output: ByteRing
  /** What was typed and no buffer has taken yet. */
  #input = new Uint8Array(0)
  /** A request to print that waits for room in the ring. */
  #printing: Chain | null = null
  /** Requests of the last kick that wait behind it. */
  #behind = 0

  /** `output`: this device is its one producer. */
  constructor(output: ByteRing) {
    this.#output = output
    this.#setSize(80, 25)
  }

  /** Output waits for room, and there is some. */
  canResume(port: VirtioPort): boolean {
    return this.stalled(port) && this.#output.free > 0
  }

  /** Output waits for room. */
  stalled(port: VirtioPort): boolean {
    return this.#printing !== null && port.live
  }

  /** Goes on printing. */
  *resume(port: VirtioPort): KernelTask<void> {
    yield* this.#print(port)
  }

  /** Keys that were typed; returns how many bytes were taken. */
  take(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, CONSOLE_INPUT_BYTES - this.#input.length)
    const input = new Uint8Array(this.#input.length + taken.length)
    input.set(this.#input)
    input.set(taken, this.#input.length)
    this.#input = input
    return taken.length
  }

  /** Gives the driver what was typed. */
  *deliver(port: VirtioPort): KernelTask<void> {
    const queue = port.queue(ConsoleQueue.RECEIVE)
    if (!queue.enabled) return
    for (let left = yield* queue.waiting(); left > 0 && this.#input.length > 0; left--) {
      const chain = yield* queue.take()
      const written = yield* chain.write(this.#input)
      this.#input = this.#input.subarray(written)
      yield* queue.putBack(chain)
    }
  }

  /** The terminal has another size now. */
  resize(port: VirtioPort, columns: number, rows: number): void {
    this.#setSize(columns, rows)
    if (port.negotiated(ConsoleFeature.SIZE)) port.configChanged()
  }

  *serve(port: VirtioPort, index: number): KernelTask<void> {
    if (index === ConsoleQueue.RECEIVE) {
      yield* this.deliver(port)
      return
    }
    this.#behind = yield* port.queue(index).waiting()
    yield* this.#print(port)
  }

  /** What was typed stays; what was being printed is lost with the queue. */
  reset(): void {
    this.#printing = null
    this.#behind = 0
  }

  *#print(port: VirtioPort): KernelTask<void> {
    const queue = port.queue(ConsoleQueue.TRANSMIT)
    for (;;) {
      if (!this.#printing) {
        if (this.#behind === 0) return
        this.#behind--
        this.#printing = yield* queue.take()
      }
      const chain = this.#printing
      while (chain.readableBytes > 0) {
        const room = Math.min(this.#output.free, PIECE_BYTES)
        if (room === 0) return
        this.#output.pushAll(yield* chain.read(room))
        if (chain.readableBytes > 0) yield TURN
      }
      this.#printing = null
      yield* queue.putBack(chain)
    }
  }

  #setSize(columns: number, rows: number): void {
    const view = new DataView(this.config.buffer)
    view.setUint16(ConsoleConfig.COLUMNS, columns, true)
    view.setUint16(ConsoleConfig.ROWS, rows, true)
  }
}
