// virtio-blk: a disk (virtio 1.2, 5.2).

import type { KernelTask, Step } from '../../host/kernel-task.ts'
import type { Chain } from '../virtio/chain.ts'
import type { VirtioDevice, VirtioPort } from '../virtio/device.ts'
import { DriverFault } from '../virtio/device-memory.ts'
import type { BlockBackend } from './backend.ts'
import {
  BLK_CLASS_CODE,
  BLK_DEVICE_TYPE,
  BLK_HEADER_BYTES,
  BLK_ID_BYTES,
  BLK_QUEUE_SIZE,
  BLK_SEG_MAX,
  BLK_SIZE_MAX,
  BlkConfig,
  BlkFeature,
  BlkRequest,
  BlkStatus,
  SECTOR,
} from './registers.ts'

/** Bytes moved at a time; between two such pieces other kernel tasks get a turn. */
const PIECE_BYTES = 65_536
const MAX_DATA_BYTES = BLK_SEG_MAX * BLK_SIZE_MAX
const TURN: Step = { at: 'virtio_blk/transfer', resched: true }

const SERIAL = 'gmemscope-disk'

export interface BlkStats {
  reads: number
  writes: number
  flushes: number
  bytesRead: number
  bytesWritten: number
  /** Requests answered with an error. */
  errors: number
}

/** The request is answered with IOERR. */
class RequestError extends Error {}

export class VirtioBlk implements VirtioDevice {
  readonly name = 'virtio-blk'
  readonly type = BLK_DEVICE_TYPE
  readonly classCode = BLK_CLASS_CODE
  readonly features = [BlkFeature.SIZE_MAX, BlkFeature.SEG_MAX, BlkFeature.BLK_SIZE, BlkFeature.FLUSH]
  readonly queueSizes = [BLK_QUEUE_SIZE]
  readonly config = new Uint8Array(BlkConfig.BYTES)
  readonly writableConfig = [0, 0] as const
  readonly stats: BlkStats = { reads: 0, writes: 0, flushes: 0, bytesRead: 0, bytesWritten: 0, errors: 0 }
  readonly #disk: BlockBackend
  readonly #onError: (error: Error) => void

  /** `onError` is told what the backend throws; the guest sees an I/O error. */
  constructor(disk: BlockBackend, onError: (error: Error) => void) {
    this.#disk = disk
    this.#onError = onError
    const view = new DataView(this.config.buffer)
    const sectors = disk.size / SECTOR
    view.setUint32(BlkConfig.CAPACITY, sectors >>> 0, true)
    view.setUint32(BlkConfig.CAPACITY + 4, Math.floor(sectors / 2 ** 32), true)
    view.setUint32(BlkConfig.SIZE_MAX, BLK_SIZE_MAX, true)
    view.setUint32(BlkConfig.SEG_MAX, BLK_SEG_MAX, true)
    view.setUint32(BlkConfig.BLK_SIZE, SECTOR, true)
  }

  *serve(port: VirtioPort, index: number): KernelTask<void> {
    const queue = port.queue(index)
    for (let left = yield* queue.waiting(); left > 0; left--) {
      const chain = yield* queue.take()
      yield* this.#request(chain)
      yield* queue.putBack(chain)
      if (left > 1) yield TURN
    }
  }

  reset(): void {}

  /** Serves one request; its status is the last byte that the device may write. */
  *#request(chain: Chain): KernelTask<void> {
    if (chain.readableBytes < BLK_HEADER_BYTES || chain.writableBytes < 1)
      throw new DriverFault('a request has no room for its header or its status')
    const header = yield* chain.read(BLK_HEADER_BYTES)
    const view = new DataView(header.buffer)
    const offset = (view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32) * SECTOR
    let status: number = BlkStatus.OK
    try {
      status = yield* this.#perform(chain, view.getUint32(0, true), offset)
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      status = BlkStatus.IOERR
    }
    if (status !== BlkStatus.OK) this.stats.errors++
    yield* chain.writeLast(status)
  }

  /** Returns the status to answer, or throws RequestError. */
  *#perform(chain: Chain, type: number, offset: number): KernelTask<number> {
    switch (type) {
      case BlkRequest.IN:
        yield* this.#read(chain, offset)
        return BlkStatus.OK
      case BlkRequest.OUT:
        yield* this.#write(chain, offset)
        return BlkStatus.OK
      case BlkRequest.FLUSH:
        this.#backend(() => this.#disk.flush())
        this.stats.flushes++
        return BlkStatus.OK
      case BlkRequest.GET_ID:
        if (chain.writableBytes - 1 < BLK_ID_BYTES) return BlkStatus.IOERR
        yield* chain.write(identifier)
        return BlkStatus.OK
      default:
        return BlkStatus.UNSUPP
    }
  }

  *#read(chain: Chain, offset: number): KernelTask<void> {
    const bytes = chain.writableBytes - 1
    this.#check(offset, bytes)
    for (let done = 0; done < bytes; ) {
      const piece = new Uint8Array(Math.min(bytes - done, PIECE_BYTES))
      this.#backend(() => this.#disk.read(offset + done, piece))
      yield* chain.write(piece)
      done += piece.length
      if (done < bytes) yield TURN
    }
    this.stats.reads++
    this.stats.bytesRead += bytes
  }

  *#write(chain: Chain, offset: number): KernelTask<void> {
    const bytes = chain.readableBytes
    this.#check(offset, bytes)
    for (let done = 0; done < bytes; ) {
      const piece = yield* chain.read(PIECE_BYTES)
      this.#backend(() => this.#disk.write(offset + done, piece))
      done += piece.length
      if (done < bytes) yield TURN
    }
    this.stats.writes++
    this.stats.bytesWritten += bytes
  }

  #check(offset: number, bytes: number): void {
    const fits = offset + bytes <= this.#disk.size
    if (bytes % SECTOR !== 0 || bytes > MAX_DATA_BYTES || !fits) throw new RequestError()
  }

  #backend(access: () => void): void {
    try {
      access()
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)))
      throw new RequestError()
    }
  }
}

const identifier = Uint8Array.from({ length: BLK_ID_BYTES }, (_, i) => SERIAL.charCodeAt(i) || 0)
