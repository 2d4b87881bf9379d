import { describe, expect, it } from 'vitest'
import { Asker, traceEventNumber } from '../../core/trace/events.ts'
import { TestTables } from '../testing/tables.ts'
import { EventLog } from './event-log.ts'

const CONVERT = traceEventNumber('kvm_gmem_convert')
const DONE = traceEventNumber('gmemscope_convert_done')
const PRIVATE = 8

describe('EventLog', () => {
  it('pairs a conversion with its end', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    view.traces[0].write(CONVERT, 0, 10, 100, 104, PRIVATE, 0, 3)
    log.read()
    expect(log.conversions).toMatchObject([{ start: 100, end: 104, from: 8, to: 0, ns: null, zapped: 3 }])
    view.traces[0].write(DONE, 0, 20, 100, 104, 0, Asker.guest, 7_200, 0)
    log.read()
    expect(log.conversions).toMatchObject([{ asker: 'guest', zapped: 3, ns: 7_200, errno: 0 }])
  })

  it('lists a refusal, which has an end only', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    view.traces[0].write(DONE, 0, 20, 100, 104, 0, Asker.guest, 900, 1)
    log.read()
    expect(log.conversions).toMatchObject([{ from: null, errno: 1, ns: 900 }])
  })

  it('merges the rings by time', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    const map = traceEventNumber('gmemscope_stage2_map')
    view.traces[1].write(map, 1, 30, 1, 2)
    view.traces[0].write(map, 0, 20, 3, 4)
    log.read()
    expect(log.events.map(({ thread }) => thread)).toEqual([0, 1])
    expect(log.events[0].fields[0]).toEqual(['gfn', 3])
  })

  it('counts what was overwritten before it was read', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    const write = (records: number): void => {
      for (let i = 0; i < records; i++) view.traces[1].write(DONE, 1, i, i, i + 1, 8, 0, 0, 0)
    }
    // More than any ring keeps; what is left of it is the ring's size.
    write(100_000)
    log.read()
    const kept = log.completed
    expect(log.lost).toBe(100_000 - kept)
    expect(log.lost).toBeGreaterThan(0)
    write(kept + 10)
    log.read()
    expect(log.lost).toBe(100_000 - kept + 10)
  })

  it('keeps device accesses apart, so that a busy serial line pushes nothing out', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    const mmio = traceEventNumber('kvm_mmio')
    view.traces[0].write(CONVERT, 0, 1, 1, 2, 8, 0, 0)
    for (let i = 0; i < 3_000; i++) {
      for (let j = 0; j < 4; j++) view.traces[1].write(mmio, 1, i, 2, 1, 0x10000000, 0x20)
      log.read()
    }
    expect(log.events.map(({ name }) => name)).toEqual(['kvm_gmem_convert'])
    expect(log.deviceAccesses.length).toBeGreaterThan(1_000)
    expect(log.deviceAccesses.length).toBeLessThan(10_000)
  })

  it('forgets the past of a machine that was reset', () => {
    const { view, resetTraces } = new TestTables()
    const log = new EventLog(view)
    view.traces[0].write(CONVERT, 0, 1, 1, 2, 8, 0, 0)
    view.traces[0].write(CONVERT, 0, 2, 3, 4, 8, 0, 0)
    log.read()
    resetTraces()
    view.traces[0].write(CONVERT, 0, 1, 7, 8, 8, 0, 0)
    log.read()
    expect(log.conversions.map(({ start }) => start)).toEqual([7])
  })

  it('says when there is nothing new', () => {
    const { view } = new TestTables()
    const log = new EventLog(view)
    expect(log.read()).toBe(false)
    view.traces[0].write(CONVERT, 0, 10, 1, 2, 8, 0, 0, 0)
    expect(log.read()).toBe(true)
    expect(log.read()).toBe(false)
  })
})
