// Writes cpio archives of the "newc" format: what Linux unpacks as its initial RAM disk.
//
// Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst. The same entries give the same bytes:
// no times, no owners but root.

const MAGIC = '070701'
const TRAILER = 'TRAILER!!!'
const HEADER_SIZE = 110
/** File types in c_mode (st_mode of POSIX). */
const S_IFCHR = 0o020000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

/** Something in the archive. `path` is relative to the root, without `.` and `..`; parents come first. */
export type CpioEntry = { readonly path: string } & (
  | { readonly kind: 'directory'; readonly mode?: number }
  | { readonly kind: 'file'; readonly data: Uint8Array; readonly mode?: number }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'device'; readonly major: number; readonly minor: number; readonly mode?: number }
)

/** What an entry's header and body say. */
interface Body {
  readonly mode: number
  readonly links: number
  readonly data: Uint8Array
  readonly device: readonly [major: number, minor: number]
}

const NOTHING = new Uint8Array(0)
const NO_DEVICE = [0, 0] as const

/** The archive. Throws RangeError for a path that cannot be unpacked: malformed, there twice, without its parent. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = []
  const written = new Map<string, CpioEntry['kind']>()
  entries.forEach((entry, i) => {
    check(entry.path, written)
    written.set(entry.path, entry.kind)
    const body = bodyOf(entry)
    // Inode 0 with several links means a hard link; nothing here has any, so each entry has a number of its own.
    parts.push(header(i + 1, entry.path, body), padded(body.data))
  })
  parts.push(header(0, TRAILER, { mode: 0, links: 1, data: NOTHING, device: NO_DEVICE }))
  return joined(parts)
}

function check(path: string, written: ReadonlyMap<string, CpioEntry['kind']>): void {
  const names = path.split('/')
  if (names.some((name) => name === '' || name === '.' || name === '..') || path === TRAILER)
    throw new RangeError(`${JSON.stringify(path)} is no path of an archive`)
  if (written.has(path)) throw new RangeError(`${path} is there twice`)
  const parent = names.slice(0, -1).join('/')
  if (parent && written.get(parent) !== 'directory')
    throw new RangeError(`${path} comes before its directory ${parent}`)
}

function bodyOf(entry: CpioEntry): Body {
  switch (entry.kind) {
    case 'directory':
      return { mode: S_IFDIR | (entry.mode ?? 0o755), links: 2, data: NOTHING, device: NO_DEVICE }
    case 'file':
      return { mode: S_IFREG | (entry.mode ?? 0o644), links: 1, data: entry.data, device: NO_DEVICE }
    case 'symlink':
      return { mode: S_IFLNK | 0o777, links: 1, data: ascii(entry.target), device: NO_DEVICE }
    case 'device':
      return {
        mode: S_IFCHR | (entry.mode ?? 0o600),
        links: 1,
        data: NOTHING,
        device: [entry.major, entry.minor],
      }
  }
}

/** Header and name, up to the next multiple of four. */
function header(inode: number, path: string, { mode, links, data, device }: Body): Uint8Array {
  const name = ascii(path)
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length + 1, 0]
  const text = MAGIC + fields.map((value) => value.toString(16).padStart(8, '0')).join('')
  const bytes = new Uint8Array(align(HEADER_SIZE + name.length + 1))
  bytes.set(ascii(text))
  bytes.set(name, HEADER_SIZE)
  return bytes
}

const align = (length: number): number => (length + 3) & ~3

function padded(data: Uint8Array): Uint8Array {
  if (data.length % 4 === 0) return data
  const bytes = new Uint8Array(align(data.length))
  bytes.set(data)
  return bytes
}

/** There is no TextEncoder here, and no name in an initial RAM disk needs more than ASCII. */
function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0 || code > 0x7f) throw new RangeError(`${JSON.stringify(text)} is not ASCII`)
    bytes[i] = code
  }
  return bytes
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
