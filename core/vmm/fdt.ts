// Writes and reads flattened device trees.
//
// Source: Devicetree Specification 0.4, chapter 5 "Flattened Devicetree (DTB) Format": version 17, last
// compatible 16. All numbers in the blob are big endian.

const MAGIC = 0xd00dfeed
const HEADER_SIZE = 40
const VERSION = 17
const LAST_COMPATIBLE = 16
const BEGIN_NODE = 1
const END_NODE = 2
const PROP = 3
const NOP = 4
const END = 9

/** A node: its name with unit address (the root's is empty), properties in order, then children in order. */
export interface FdtNode {
  readonly name: string
  readonly properties: readonly (readonly [name: string, value: Uint8Array])[]
  readonly children: readonly FdtNode[]
}

/** Memory the guest must not use as its own (the blob's reservation block). */
export interface FdtReservation {
  readonly address: number
  readonly size: number
}

/** What a property may be given as: text, texts, 32-bit cells, bytes, or nothing but its presence. */
export type FdtValue = string | readonly string[] | readonly number[] | number | Uint8Array | true

/** Two 32-bit cells that hold `value` (a safe integer), for a property of cells. */
export const u64Cells = (value: number): [high: number, low: number] => [
  Math.floor(value / 2 ** 32),
  value >>> 0,
]

/** A node from plain values; `undefined` leaves a property out. */
export function fdtNode(
  name: string,
  properties: Readonly<Record<string, FdtValue | undefined>>,
  children: readonly FdtNode[] = [],
): FdtNode {
  const encoded: [string, Uint8Array][] = []
  for (const [key, value] of Object.entries(properties))
    if (value !== undefined) encoded.push([key, encode(value)])
  return { name, properties: encoded, children }
}

function encode(value: FdtValue): Uint8Array {
  if (value === true) return new Uint8Array(0)
  if (value instanceof Uint8Array) return value
  if (typeof value === 'number') return cells([value])
  if (typeof value === 'string') return strings([value])
  return value.every((item) => typeof item === 'string') ? strings(value) : cells(value as readonly number[])
}

function cells(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError(`cell ${value}`)
    view.setUint32(i * 4, value)
  })
  return bytes
}

const strings = (texts: readonly string[]): Uint8Array => latin1(texts.map((text) => `${text}\0`).join(''))

/** The format's texts are ASCII; there is no TextEncoder here. */
function latin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0xff) throw new RangeError(`device tree text ${JSON.stringify(text)} is not 8-bit`)
    bytes[i] = code
  }
  return bytes
}

/** A property's text up to its first NUL. */
export function fdtText(value: Uint8Array): string {
  const end = value.indexOf(0)
  return String.fromCharCode(...value.subarray(0, end < 0 ? value.length : end))
}

/** A property's 32-bit cells. */
export function fdtCells(value: Uint8Array): number[] {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  return Array.from({ length: value.length >> 2 }, (_, i) => view.getUint32(i * 4))
}

/** A growing big-endian buffer. */
class Blob {
  #bytes = new Uint8Array(4096)
  #view = new DataView(this.#bytes.buffer)
  length = 0

  u32(value: number): void {
    this.#grow(4)
    this.#view.setUint32(this.length, value)
    this.length += 4
  }

  u64(value: number): void {
    for (const cell of u64Cells(value)) this.u32(cell)
  }

  /** Bytes, then zeroes up to the next multiple of four. */
  padded(bytes: Uint8Array): void {
    this.#grow(bytes.length + 4)
    this.#bytes.set(bytes, this.length)
    this.length += (bytes.length + 3) & ~3
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length)
  }

  #grow(by: number): void {
    if (this.length + by <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + by))
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}

/** Flattens the tree; `bootHart` is boot_cpuid_phys. RangeError for texts or cells that do not fit the format. */
export function writeFdt(
  root: FdtNode,
  bootHart = 0,
  reservations: readonly FdtReservation[] = [],
): Uint8Array<ArrayBuffer> {
  const structure = new Blob()
  const names = new Map<string, number>()
  let nameBytes = 0
  const visit = (node: FdtNode): void => {
    structure.u32(BEGIN_NODE)
    structure.padded(latin1(`${node.name}\0`))
    for (const [name, value] of node.properties) {
      let offset = names.get(name)
      if (offset === undefined) {
        offset = nameBytes
        names.set(name, offset)
        nameBytes += name.length + 1
      }
      structure.u32(PROP)
      structure.u32(value.length)
      structure.u32(offset)
      structure.padded(value)
    }
    for (const child of node.children) visit(child)
    structure.u32(END_NODE)
  }
  visit(root)
  structure.u32(END)

  const reserved = HEADER_SIZE
  const structAt = reserved + 16 * (reservations.length + 1)
  const stringsAt = structAt + structure.length
  const blob = new Blob()
  const total = (stringsAt + nameBytes + 3) & ~3
  const header = [MAGIC, total, structAt, stringsAt, reserved, VERSION, LAST_COMPATIBLE, bootHart, nameBytes]
  for (const value of header) blob.u32(value)
  blob.u32(structure.length)
  for (const { address, size } of [...reservations, { address: 0, size: 0 }]) {
    blob.u64(address)
    blob.u64(size)
  }
  blob.padded(structure.finish())
  blob.padded(strings([...names.keys()]))
  return blob.finish()
}

/** What `readFdt` found. */
export interface Fdt {
  readonly root: FdtNode
  readonly bootHart: number
  readonly reservations: readonly FdtReservation[]
}

/** Reads a blob of version 16 or 17. Throws RangeError when it is malformed. */
export function readFdt(blob: Uint8Array): Fdt {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
  const header = Array.from({ length: HEADER_SIZE / 4 }, (_, i) => view.getUint32(i * 4))
  const [magic, total, structAt, stringsAt, reservedAt, , compatible, bootHart] = header
  if (magic !== MAGIC) throw new RangeError('not a flattened device tree')
  if (compatible > VERSION || total > blob.length)
    throw new RangeError('device tree of another version or cut short')

  let at = structAt
  const u32 = (): number => {
    at += 4
    return view.getUint32(at - 4)
  }
  const align = (): void => {
    at = (at + 3) & ~3
  }
  const node = (): FdtNode => {
    const name = fdtText(blob.subarray(at))
    at += name.length + 1
    align()
    const properties: [string, Uint8Array][] = []
    const children: FdtNode[] = []
    for (let token = u32(); token !== END_NODE; token = u32()) {
      if (token === BEGIN_NODE) children.push(node())
      else if (token === PROP) {
        const length = u32()
        const key = fdtText(blob.subarray(stringsAt + u32()))
        properties.push([key, blob.slice(at, at + length)])
        at += length
        align()
      } else if (token !== NOP) throw new RangeError(`device tree token ${token} at ${at - 4}`)
    }
    return { name, properties, children }
  }
  let token = u32()
  while (token === NOP) token = u32()
  if (token !== BEGIN_NODE) throw new RangeError('device tree without a root')
  const root = node()

  const reservations: FdtReservation[] = []
  for (let entry = reservedAt; ; entry += 16) {
    const address = view.getUint32(entry) * 2 ** 32 + view.getUint32(entry + 4)
    const size = view.getUint32(entry + 8) * 2 ** 32 + view.getUint32(entry + 12)
    if (address === 0 && size === 0) break
    reservations.push({ address, size })
  }
  return { root, bootHart, reservations }
}

/** The node at `path` ("/soc/plic@c000000"), or undefined. */
export function fdtFind(root: FdtNode, path: string): FdtNode | undefined {
  let node: FdtNode | undefined = root
  for (const part of path.split('/')) if (part) node = node?.children.find((child) => child.name === part)
  return node
}

/** A node's property, or undefined. */
export const fdtProperty = (node: FdtNode | undefined, name: string): Uint8Array | undefined =>
  node?.properties.find(([key]) => key === name)?.[1]
