// The person's own kernel and initial RAM disk, kept in this browser for the next time.
//
// The Cache API holds large files as they are, and is there wherever the page works at all: cross-origin isolation
// and it ask for the same secure context.

import type { FileRole } from './linux-status.ts'

const CACHE = 'gmemscope-linux'
const NAME = 'X-File-Name'

export interface KeptFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/** Where the file of a role lies in the cache; nothing is ever asked of the server by that name. */
const place = (role: FileRole): URL => new URL(`kept/${role}`, document.baseURI)

/** Null when there is none, or the browser refuses its storage. */
export const recallFile = async (role: FileRole): Promise<KeptFile | null> => {
  try {
    const response = await (await caches.open(CACHE)).match(place(role))
    if (!response) return null
    const name = decodeURIComponent(response.headers.get(NAME) ?? role)
    return { name, bytes: new Uint8Array(await response.arrayBuffer()) }
  } catch {
    return null
  }
}

/** False when the browser has no room, or refuses: the file then lasts as long as the page. */
export const keepFile = async (role: FileRole, { name, bytes }: KeptFile): Promise<boolean> => {
  try {
    const headers = { [NAME]: encodeURIComponent(name) }
    await (await caches.open(CACHE)).put(place(role), new Response(new Blob([bytes.slice()]), { headers }))
    return true
  } catch {
    return false
  }
}

export const forgetFiles = async (): Promise<void> => {
  await caches.delete(CACHE).catch(() => false)
}
