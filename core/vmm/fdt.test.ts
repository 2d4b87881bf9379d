// Flattened device trees: header layout by the specification, round trips.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type FdtNode,
  fdtCells,
  fdtFind,
  fdtNode,
  fdtProperty,
  fdtText,
  readFdt,
  u64Cells,
  writeFdt,
} from './fdt.ts'

const cellsOf = (blob: Uint8Array): number[] => fdtCells(blob)

describe('the blob', () => {
  it('of an empty root is exactly this', () => {
    const blob = writeFdt(fdtNode('', {}), 3)
    // Header; one empty reservation; BEGIN_NODE "" END_NODE END.
    expect(cellsOf(blob)).toEqual([0xd00dfeed, 72, 56, 72, 40, 17, 16, 3, 0, 16, 0, 0, 0, 0, 1, 0, 2, 9])
  })

  it('stores a property name once and pads values to cells', () => {
    const blob = writeFdt(fdtNode('', { reg: Uint8Array.of(1, 2, 3) }, [fdtNode('a', { reg: 7 })]))
    expect(cellsOf(blob).slice(14, 28)).toEqual([1, 0, 3, 3, 0, 0x01020300, 1, 0x61000000, 3, 4, 0, 7, 2, 2])
    expect(fdtText(blob.subarray(cellsOf(blob)[3]))).toBe('reg')
    expect(cellsOf(blob)[8]).toBe(4)
  })

  it('keeps memory reservations above 4 GiB', () => {
    const reservations = [{ address: 0x1_8000_0000, size: 0x2000 }]
    expect(readFdt(writeFdt(fdtNode('', {}), 0, reservations)).reservations).toEqual(reservations)
  })

  it('refuses what the format cannot hold', () => {
    expect(() => fdtNode('', { a: -1 })).toThrow(RangeError)
    expect(() => fdtNode('', { a: [2 ** 32] })).toThrow(RangeError)
    expect(() => fdtNode('', { a: 'Ω' })).toThrow(RangeError)
  })
})

it('encodes every kind of value', () => {
  const node = fdtNode('n', {
    text: 'ab',
    texts: ['a', 'bc'],
    cell: 0xffffffff,
    cells: u64Cells(0x1_2345_6789),
    bytes: Uint8Array.of(9),
    none: true,
    absent: undefined,
  })
  expect(node.properties.map(([name, value]) => [name, ...value])).toEqual([
    ['text', 97, 98, 0],
    ['texts', 97, 0, 98, 99, 0],
    ['cell', 255, 255, 255, 255],
    ['cells', 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x89],
    ['bytes', 9],
    ['none'],
  ])
})

it('reads back any tree it wrote', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9,._+-]{0,12}$/)
  const { tree } = fc.letrec<{ tree: FdtNode }>((tie) => ({
    tree: fc.record({
      name,
      properties: fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 40 })), {
        selector: ([key]) => key,
        maxLength: 5,
      }),
      children: fc.oneof(
        { depthSize: 'small', maxDepth: 4 },
        fc.constant([]),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }),
  }))
  fc.assert(
    fc.property(tree, fc.nat(7), (root, bootHart) => {
      expect(readFdt(writeFdt(root, bootHart))).toEqual({ root, bootHart, reservations: [] })
    }),
  )
})

it('grows beyond its first buffer', () => {
  const root = fdtNode('', { seed: new Uint8Array(100_000).fill(0x5a) })
  expect(fdtProperty(readFdt(writeFdt(root)).root, 'seed')).toEqual(new Uint8Array(100_000).fill(0x5a))
})

it('finds nodes by path', () => {
  const root = fdtNode('', {}, [fdtNode('soc', {}, [fdtNode('x@1', { reg: 1 })])])
  expect(fdtFind(root, '/soc/x@1')?.name).toBe('x@1')
  expect(fdtFind(root, '/')).toBe(root)
  expect(fdtFind(root, '/soc/y')).toBeUndefined()
})

it('refuses a blob that is none', () => {
  expect(() => readFdt(new Uint8Array(40))).toThrow(RangeError)
  const blob = writeFdt(fdtNode('', {}))
  expect(() => readFdt(blob.subarray(0, blob.length - 4))).toThrow(/cut short/)
})
