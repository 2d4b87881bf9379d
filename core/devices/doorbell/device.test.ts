import { describe, expect, test } from 'vitest'
import { finished } from '../testing/finished.ts'
import { Doorbell } from './device.ts'
import { DOORBELL_MAGIC, DOORBELL_VERSION, DoorbellReg } from './registers.ts'

/** A doorbell that records what it is asked and answers `error`. */
const ringing = (error: number) => {
  const asked: [number, number, boolean][] = []
  // biome-ignore lint/correctness/useYield: this one asks nobody
  const doorbell = new Doorbell(function* (...request) {
    asked.push(request)
    return error
  })
  const load = (offset: number, length: number) => finished(doorbell.load(offset, length))
  return { doorbell, asked, load }
}

describe('the doorbell', () => {
  test('says what it is', () => {
    const { load } = ringing(0)
    expect(load(DoorbellReg.MAGIC, 4)).toEqual([DOORBELL_MAGIC, 0])
    expect(load(DoorbellReg.VERSION, 4)).toEqual([DOORBELL_VERSION, 0])
  })

  test('asks for what was stored, above 4 GiB too, and gives the answer with its sign', () => {
    const { doorbell, asked, load } = ringing(-4)
    doorbell.store(DoorbellReg.GPA, 8, [0x80001000 | 0, 3])
    doorbell.store(DoorbellReg.SIZE, 8, [0x2000, 0])
    expect(load(DoorbellReg.SHARE, 8)).toEqual([-4, -1])
    expect(load(DoorbellReg.UNSHARE, 8)).toEqual([-4, -1])
    expect(asked).toEqual([
      [0x380001000, 0x2000, true],
      [0x380001000, 0x2000, false],
    ])
    expect([load(DoorbellReg.GPA, 8), load(DoorbellReg.SIZE, 8)]).toEqual([
      [0x80001000 | 0, 3],
      [0x2000, 0],
    ])
  })

  test('other widths and offsets read as ones, change nothing and ask for nothing', () => {
    const { doorbell, asked, load } = ringing(0)
    doorbell.store(DoorbellReg.GPA, 4, [0x1000, 0])
    doorbell.store(DoorbellReg.SHARE, 8, [1, 0])
    for (const [offset, length] of [
      [DoorbellReg.SHARE, 4],
      [DoorbellReg.MAGIC, 8],
      [0x08, 8],
      [0x30, 8],
      [DoorbellReg.GPA + 4, 4],
    ])
      expect(load(offset, length)).toEqual([-1, -1])
    expect(load(DoorbellReg.GPA, 8)).toEqual([0, 0])
    expect(asked).toEqual([])
  })
})
