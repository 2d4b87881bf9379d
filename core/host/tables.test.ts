import fc from 'fast-check'
import { expect, test } from 'vitest'
import { XArray } from '../base/xarray.ts'
import { HostMemory } from './host-memory.ts'
import { MAX_RANGE_ROWS } from './layout.ts'
import { FileKind, mirrorRange, type SlotRow, Truncated, VmWord } from './tables.ts'

const { tables } = HostMemory.create(64 * 2 ** 20)

test('range rows stay sorted, merged and right', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 }), fc.boolean()), { maxLength: 40 }),
      (steps) => {
        const vm = tables.allocVm(1, 1)
        const inside = new Array<boolean>(80).fill(false)
        for (const [start, length, on] of steps) {
          inside.fill(on, start, start + length)
          tables.setRange(vm, 'attributes', start, start + length, on)
        }
        const expected: { start: number; end: number }[] = []
        for (const [at, on] of inside.entries()) {
          if (!on) continue
          const last = expected.at(-1)
          if (last?.end === at) expected[expected.length - 1] = { start: last.start, end: at + 1 }
          else expected.push({ start: at, end: at + 1 })
        }
        expect(tables.readRanges(vm, 'attributes')).toEqual(expected)
        tables.freeVm(vm)
      },
    ),
  )
})

const row = (id: number): SlotRow => ({
  id,
  flags: 0,
  file: -1,
  baseGfn: id * 10,
  pages: 5,
  userspaceAddr: 0,
  fileIndex: 0,
})

test('slot rows follow the list whatever changes in it', () => {
  const rows = Array.from({ length: 12 }, (_, id) => row(id))
  fc.assert(
    fc.property(fc.array(fc.subarray(rows), { maxLength: 20 }), (lists) => {
      const vm = tables.allocVm(1, 1)
      for (const list of lists) {
        tables.writeSlots(vm, list)
        expect(tables.readSlots(vm)).toEqual(list)
      }
      tables.freeVm(vm)
    }),
  )
})

test('more slots than rows: the first ones are shown, and it is said', () => {
  const vm = tables.allocVm(1, 1)
  const many = Array.from({ length: 600 }, (_, id) => row(id))
  tables.writeSlots(vm, many)
  expect(tables.readSlots(vm)).toHaveLength(512)
  expect(tables.vmWord(vm, VmWord.TRUNCATED)).toBe(Truncated.slots)
  tables.writeSlots(vm, many.slice(590))
  expect(tables.vmWord(vm, VmWord.TRUNCATED)).toBe(0)
  expect(tables.readSlots(vm).map((slot) => slot.id)).toEqual([
    590, 591, 592, 593, 594, 595, 596, 597, 598, 599,
  ])
  tables.freeVm(vm)
})

test('rows run out without harm', () => {
  const vms = Array.from({ length: 5 }, () => tables.allocVm(1, 0))
  expect(vms.at(-1)).toBe(-1)
  tables.setVmWord(-1, VmWord.TYPE, 7)
  tables.writeSlots(-1, [row(1)])
  for (const vm of vms) if (vm >= 0) tables.freeVm(vm)
  const file = tables.allocFile(FileKind.gmem, 3, 1, 0, 8192)
  tables.addFileFolios(file, 2)
  expect(tables.readFiles()).toEqual([{ row: file, kind: 1, ino: 3, flags: 1, vm: 0, size: 8192, folios: 2 }])
  tables.freeFile(file)
  expect(tables.readFiles()).toEqual([])
})

test('more ranges than rows: the first ones are shown, it is said, and all is well again once they fit', () => {
  const vm = tables.allocVm(1, 1)
  const truth = new XArray<number>()
  const set = (start: number, end: number, inside: boolean): void => {
    truth.store(start, end, inside ? 1 : undefined)
    mirrorRange(tables, vm, 'attributes', start, end, inside, truth, (value) => value === 1)
  }
  for (let i = 0; i < MAX_RANGE_ROWS + 10; i++) set(2 * i, 2 * i + 1, true)
  expect(tables.vmWord(vm, VmWord.TRUNCATED)).toBe(Truncated.attributes)
  expect(tables.readRanges(vm, 'attributes')).toHaveLength(MAX_RANGE_ROWS)
  set(0, 1, false)
  expect(tables.readRanges(vm, 'attributes')[0]).toEqual({ start: 2, end: 3 })
  set(40, 2 * MAX_RANGE_ROWS, true)
  expect(tables.vmWord(vm, VmWord.TRUNCATED)).toBe(0)
  expect(tables.readRanges(vm, 'attributes').slice(-2)).toEqual([
    { start: 2 * MAX_RANGE_ROWS + 16, end: 2 * MAX_RANGE_ROWS + 17 },
    { start: 2 * MAX_RANGE_ROWS + 18, end: 2 * MAX_RANGE_ROWS + 19 },
  ])
  tables.freeVm(vm)
})
