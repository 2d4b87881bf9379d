import { describe, expect, it } from 'vitest'
import { PAGE_SIZE, pfn } from '../../core/base/units.ts'
import { HypervisorNumber, PageType, PG, VmWord } from '../../core/machine/view.ts'
import { BASE_GFN, PAGES, TestTables } from '../testing/tables.ts'
import { gfnOfFileIndex, refOfPfn, resolveChain } from './chain.ts'
import { Cell, GuestPage, isMismatch } from './page-state.ts'

describe('Sampler', () => {
  it('lays out slots and files', () => {
    const { slots, files } = new TestTables().sample()
    expect(slots.map(({ slot, host }) => [slot.id, host.count])).toEqual([[3, PAGES]])
    expect(files.map(({ file, pages }) => [file.ino, pages.count])).toEqual([[9, PAGES]])
    expect(slots[0].file).toBe(files[0])
  })

  it('puts each folio into its cell', () => {
    const test = new TestTables()
    const first = test.view.layout.firstFrame
    test.gmemFolio(first + 1, 5)
    test.anonFolio(first + 2, 6)
    const { slots, files, framesInUse } = test.sample()
    expect(files[0].pages.states[5]).toBe(Cell.allocated | Cell.uptodate | Cell.stage2 | Cell.private)
    expect(files[0].pages.pfns[5]).toBe(first + 1)
    expect(slots[0].host.states[6] & Cell.allocated).toBeTruthy()
    expect(slots[0].host.states[6] & Cell.hostMapped).toBeTruthy()
    expect(framesInUse).toBe(2)
  })

  it('marks a poisoned page, an extra reference and the frames of a 2 MiB folio', () => {
    const test = new TestTables()
    const first = Math.ceil((test.view.layout.firstFrame + 1) / 512) * 512
    test.gmemFolio(first, 0)
    test.gmemFolio(first + 1, 1)
    test.folios.set(pfn(first), PG.head)
    test.folios.set(pfn(first + 1), PG.hwpoison)
    test.gmemFolio(first + 512, 2)
    test.folios.refcount[first + 512]++
    const { states } = test.sample().files[0].pages
    const marks = Cell.large | Cell.poisoned | Cell.held
    expect([...states.subarray(0, 3)].map((state) => state & marks)).toEqual([
      Cell.large,
      Cell.large | Cell.poisoned,
      Cell.held,
    ])
    test.folios.assign(pfn(first + 1), PageType.hwpoison, 0, 0)
    expect(test.sample().frames.states[first + 1]).toBe(Cell.poisoned)
  })

  it('tells what Gunyah lent and what lies in a parcel, and no pin from the reference that a guest’s page has', () => {
    const test = new TestTables()
    const first = test.view.layout.firstFrame
    test.tables.setVmWord(0, VmWord.HYPERVISOR, HypervisorNumber.gunyah)
    const parcel = { handle: 2, owner: 3, borrower: 49, kind: 1, rights: 6, state: 2, pages: 1 }
    test.view.parcels.write([
      { ...parcel, accepted: true, ipa: (BASE_GFN + 5) * PAGE_SIZE },
      { ...parcel, accepted: false, ipa: (BASE_GFN + 6) * PAGE_SIZE },
    ])
    for (const index of [5, 6, 7]) {
      test.gmemFolio(first + index, index)
      test.folios.refcount[first + index] = index === 7 ? 3 : 2
    }
    test.folios.set(pfn(first + 6), PG.lent)
    test.folios.assign(pfn(first + 8), PageType.lost, 0, 0)
    const marks = Cell.lent | Cell.parcel | Cell.held | Cell.lost
    const expected = [Cell.parcel, Cell.lent, Cell.held]
    const sampler = test.sample()
    const marked = (states: Uint16Array, from: number, to: number): number[] =>
      [...states.subarray(from, to)].map((state) => state & marks)
    expect(marked(sampler.files[0].pages.states, 5, 8)).toEqual(expected)
    expect(marked(sampler.frames.states, first + 5, first + 9)).toEqual([...expected, Cell.lost])
  })

  it('keeps the anonymous memory of another process apart, at the same address too', () => {
    const test = new TestTables()
    const frame = test.view.layout.firstFrame + 2
    test.anonFolio(frame, 6, 7)
    const sampler = test.sample()
    expect(sampler.frames.states[frame] & Cell.foreign).toBeTruthy()
    expect(sampler.slots[0].host.states[6] & Cell.allocated).toBeFalsy()
    expect(refOfPfn(sampler, frame)).toEqual({ pfn: frame })
  })

  it('finds shared pages in the guest_memfd itself where it can be mapped', () => {
    const test = new TestTables({ fileFlags: 1 })
    const frame = test.view.layout.firstFrame + 1
    test.gmemFolio(frame, 5)
    test.setPrivate(5, 6, false)
    const sampler = test.sample()
    expect(sampler.slots[0].inPlace).toBe(true)
    expect(sampler.slots[0].guest.states[5] & GuestPage.stage2).toBeTruthy()
    expect(sampler.files[0].pages.states[5] & (Cell.aside | Cell.private)).toBe(0)
    expect(sampler.frames.states[frame] & Cell.private).toBe(0)
    expect(resolveChain(sampler, { gfn: BASE_GFN + 5 })).toMatchObject({ pfn: frame, gmemPfn: frame })
  })

  it('marks the half that the attribute does not pick', () => {
    const test = new TestTables()
    test.setPrivate(8, 10, false)
    const { slots, files } = test.sample()
    expect(files[0].pages.states[8] & Cell.aside).toBeTruthy()
    expect(files[0].pages.states[7] & Cell.aside).toBeFalsy()
    expect(slots[0].host.states[8] & Cell.aside).toBeFalsy()
    expect(slots[0].host.states[7] & Cell.aside).toBeTruthy()
  })

  it('finds a guest page whose declaration and attribute disagree', () => {
    const test = new TestTables()
    test.tables.setRange(0, 'attributes', BASE_GFN + 4, BASE_GFN + 5, false)
    const { states } = test.sample().slots[0].guest
    expect(isMismatch(states[4])).toBe(true)
    expect(isMismatch(states[5])).toBe(false)
  })

  it('counts a guest page as mapped only through the half in use', () => {
    const test = new TestTables()
    test.gmemFolio(test.view.layout.firstFrame + 1, 5)
    expect(test.sample().slots[0].guest.states[5] & GuestPage.stage2).toBeTruthy()
    test.setPrivate(5, 6, false)
    expect(test.sample().slots[0].guest.states[5] & (GuestPage.stage2 | GuestPage.backed)).toBe(0)
  })

  it('reads nothing while the generation stands still', () => {
    const test = new TestTables()
    test.sample()
    const { version } = test.sampler
    test.gmemFolio(test.view.layout.firstFrame + 1, 5)
    expect(test.sampler.sample()).toBe(false)
    expect(test.sampler.version).toBe(version)
  })

  it('keeps the maps of a slot that stays, so that views of it stay', () => {
    const test = new TestTables()
    const [before] = test.sample().slots
    test.gmemFolio(test.view.layout.firstFrame + 1, 5)
    expect(test.sample().slots[0]).toBe(before)
    test.tables.writeSlots(0, [])
    expect(test.sample().slots).toEqual([])
  })
})

describe('resolveChain', () => {
  it('follows a private page to its guest_memfd folio', () => {
    const test = new TestTables()
    const frame = test.view.layout.firstFrame + 1
    test.gmemFolio(frame, 5)
    const chain = resolveChain(test.sample(), { gfn: BASE_GFN + 5 })
    expect(chain).toMatchObject({ page: 5, fileIndex: 5, gmemPfn: frame, hostPfn: -1, pfn: frame })
  })

  it('follows a shared page to host memory although a private folio is left', () => {
    const test = new TestTables()
    const first = test.view.layout.firstFrame
    test.gmemFolio(first + 1, 5)
    test.anonFolio(first + 2, 5)
    test.setPrivate(5, 6, false)
    const chain = resolveChain(test.sample(), { gfn: BASE_GFN + 5 })
    expect(chain).toMatchObject({ gmemPfn: first + 1, hostPfn: first + 2, pfn: first + 2 })
  })

  it('leads back from a frame of either half to the guest page', () => {
    const test = new TestTables()
    const first = test.view.layout.firstFrame
    test.gmemFolio(first + 1, 5)
    test.anonFolio(first + 2, 6)
    const sampler = test.sample()
    expect(refOfPfn(sampler, first + 1)).toEqual({ gfn: BASE_GFN + 5 })
    expect(refOfPfn(sampler, first + 2)).toEqual({ gfn: BASE_GFN + 6 })
    expect(refOfPfn(sampler, 0)).toEqual({ pfn: 0 })
    expect(gfnOfFileIndex(sampler, test.file, PAGES)).toBeNull()
  })

  it('has nothing to tell beyond the slots', () => {
    const sampler = new TestTables().sample()
    expect(resolveChain(sampler, { gfn: 1 })).toMatchObject({ gfn: 1, slot: null, pfn: -1 })
  })
})
