import { describe, expect, it } from 'vitest'
import { pfn } from '../../core/base/units.ts'
import { PG } from '../../core/machine/view.ts'
import { TestTables } from '../testing/tables.ts'
import { folioFacts } from './folio-facts.ts'

describe('folioFacts', () => {
  it('says who holds the references of a private page', () => {
    const test = new TestTables()
    const frame = pfn(test.view.layout.firstFrame + 1)
    test.gmemFolio(frame, 5)
    expect(folioFacts(test.folios, frame, 'xarray', false).references).toEqual(['page cache'])
    test.folios.refcount[frame]++
    expect(folioFacts(test.folios, frame, 'xarray', false)).toMatchObject({
      refcount: 2,
      references: ['page cache', '1 pin'],
      lru: null,
    })
  })

  it('tells an LRU batch from a pin', () => {
    const test = new TestTables()
    const frame = pfn(test.view.layout.firstFrame + 1)
    test.gmemFolio(frame, 5)
    test.folios.refcount[frame]++
    expect(folioFacts(test.folios, frame, 'filemap', false)).toMatchObject({
      references: ['page cache', 'LRU batch'],
      lru: 'in a batch, not drained',
    })
    test.folios.set(frame, PG.lru)
    expect(folioFacts(test.folios, frame, 'filemap', false)).toMatchObject({
      references: ['page cache', '1 pin'],
      lru: 'unevictable list',
    })
  })

  it('counts the reference that memory_failure() keeps', () => {
    const test = new TestTables()
    const frame = pfn(test.view.layout.firstFrame + 1)
    test.gmemFolio(frame, 5)
    test.folios.set(frame, PG.hwpoison)
    test.folios.refcount[frame]++
    expect(folioFacts(test.folios, frame, 'xarray', false).references).toEqual([
      'page cache',
      'memory failure',
    ])
  })

  it('does not take for a pin what a guest under Gunyah was given', () => {
    const test = new TestTables()
    const frame = pfn(test.view.layout.firstFrame + 1)
    test.gmemFolio(frame, 5)
    test.folios.refcount[frame]++
    expect(folioFacts(test.folios, frame, 'xarray', true).references).toEqual([
      'page cache',
      'the guest’s own',
    ])
    test.folios.refcount[frame]++
    expect(folioFacts(test.folios, frame, 'filemap', true).references).toEqual([
      'page cache',
      'LRU batch',
      'the guest’s own',
    ])
  })
})
