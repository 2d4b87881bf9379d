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
    for (let i = 0; i < 4_096 + 10; i++) view.traces[1].write(CONVERT, 1, i, i, i + 1, 8, 0, 0, 0)
    log.read()
    expect(log.lost).toBe(10)
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
