// The disk that a machine is built with: an image, and beside it what the guest writes.

import type { BlockBackend } from '../devices/virtio-blk/backend.ts'
import { MemoryOverlay, OverlayDisk } from '../devices/virtio-blk/overlay.ts'
import type { DiskConfig } from './api.ts'
import type { Platform } from './platform.ts'

/** null: the machine has no disk. Rejects with the cause and the remedy. */
export const openDisk = async (
  platform: Platform,
  config: DiskConfig | undefined,
): Promise<BlockBackend | null> => {
  if (!config) return null
  if (!config.persistent) return new OverlayDisk(config.image, new MemoryOverlay())
  if (!platform.openOverlay)
    throw new Error(
      'what a guest writes to its disk cannot be kept here: ask for a disk that is not persistent',
    )
  return new OverlayDisk(config.image, await platform.openOverlay(config.image))
}
