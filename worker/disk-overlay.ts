// Where what guests write to their disks is kept: the browser's origin private file system, a file for each image.
//
// Its synchronous access is for one opener at a time, and for workers only.

import type { Overlay } from '../core/devices/virtio-blk/overlay.ts'
import { FileOverlay, type OverlayStorage } from '../core/devices/virtio-blk/overlay-file.ts'

const FOLDER = 'disks'
const NO_ROOM =
  'the browser has no room for the disk: free some of its storage, or use a disk that is not kept'

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** What an error of the file system means for the person who wants the disk. */
const explain = (error: unknown): string => {
  const name = error instanceof DOMException ? error.name : ''
  if (name === 'NoModificationAllowedError')
    return 'another tab runs a machine with this disk: close it, or start this one with a disk that is not kept'
  if (name === 'SecurityError' || name === 'NotAllowedError')
    return 'the browser keeps no files here, as in a private window: use a normal one, or a disk that is not kept'
  if (name === 'QuotaExceededError') return NO_ROOM
  return error instanceof Error ? error.message : String(error)
}

class HandleStorage implements OverlayStorage {
  readonly #handle: FileSystemSyncAccessHandle

  constructor(handle: FileSystemSyncAccessHandle) {
    this.#handle = handle
  }

  size(): number {
    return this.#handle.getSize()
  }

  read(at: number, into: Uint8Array): number {
    return this.#handle.read(into, { at })
  }

  write(at: number, bytes: Uint8Array): void {
    let written = 0
    try {
      written = this.#handle.write(bytes, { at })
    } catch (error) {
      throw new Error(explain(error))
    }
    if (written !== bytes.length) throw new Error(NO_ROOM)
  }

  flush(): void {
    this.#handle.flush()
  }
}

const openHandle = async (name: string): Promise<FileSystemSyncAccessHandle> => {
  const root = await navigator.storage.getDirectory()
  const folder = await root.getDirectoryHandle(FOLDER, { create: true })
  const file = await folder.getFileHandle(name, { create: true })
  return await file.createSyncAccessHandle()
}

/**
 * Opens what was written to a disk with this image, in this browser; nothing at first. It stays open as long as this
 * worker. Rejects with the cause and the remedy.
 */
export const openOverlay = async (image: Uint8Array<ArrayBuffer>): Promise<Overlay> => {
  const identity = new Uint8Array(await crypto.subtle.digest('SHA-256', image))
  let handle: FileSystemSyncAccessHandle
  try {
    handle = await openHandle(`${hex(identity)}.overlay`)
  } catch (error) {
    throw new Error(`the disk cannot be opened: ${explain(error)}`)
  }
  try {
    return new FileOverlay(new HandleStorage(handle), image.length, identity)
  } catch (error) {
    handle.close()
    throw error
  }
}
