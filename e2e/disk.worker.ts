// A worker of disk.spec.ts's: opens what is kept of a disk and does what the page asks, one message at a time.

import { OverlayDisk } from '../core/devices/virtio-blk/overlay.ts'
import { openOverlay } from '../worker/disk-overlay.ts'

export interface DiskRequest {
  /** Bytes of the image; its contents follow from it. */
  readonly imageBytes: number
  /** Where to write and what, before reading; nothing to write when empty. */
  readonly offset: number
  readonly bytes: readonly number[]
  /** Bytes to read from 0. */
  readonly read: number
}

self.onmessage = async ({ data }: MessageEvent<DiskRequest>) => {
  try {
    const image = Uint8Array.from({ length: data.imageBytes }, (_, i) => i % 251)
    const disk = new OverlayDisk(image, await openOverlay(image))
    disk.write(data.offset, Uint8Array.from(data.bytes))
    disk.flush()
    const bytes = new Uint8Array(data.read)
    disk.read(0, bytes)
    self.postMessage({ bytes: [...bytes] })
  } catch (error) {
    self.postMessage({ error: String(error) })
  }
}
