import { describe, expect, it } from 'vitest'
import { FLASH_MS, PageMap } from './page-map.ts'

const set = (map: PageMap, cells: Record<number, number>): void => {
  const words = map.begin()
  for (const [at, value] of Object.entries(cells)) words[Number(at)] = value
  map.commit()
}

describe('PageMap', () => {
  it('shows the first picture without flashing', () => {
    const map = new PageMap(8)
    set(map, { 1: 5 })
    expect([...map.states]).toEqual([0, 5, 0, 0, 0, 0, 0, 0])
    expect(Math.max(...map.flashes)).toBe(0)
  })

  it('lights the cells that differ and only those', () => {
    const map = new PageMap(8)
    set(map, { 1: 5 })
    set(map, { 1: 5, 2: 7 })
    expect([...map.flashes]).toEqual([0, 0, 255, 0, 0, 0, 0, 0])
  })

  it('fades the light within FLASH_MS and then asks for no more frames', () => {
    const map = new PageMap(8)
    set(map, { 1: 5 })
    set(map, {})
    expect(map.fade(FLASH_MS / 2)).toBe(true)
    expect(map.flashes[1]).toBeGreaterThan(0)
    expect(map.flashes[1]).toBeLessThan(255)
    expect(map.fade(FLASH_MS)).toBe(false)
    expect(map.flashes[1]).toBe(0)
  })

  it('keeps its version while nothing changes, so that nothing is uploaded', () => {
    const map = new PageMap(8)
    set(map, { 1: 5 })
    const { version } = map
    set(map, { 1: 5 })
    expect(map.version).toBe(version)
  })

  it('does not flash a change of nearly everything', () => {
    const map = new PageMap(40_000)
    set(map, { 1: 5 })
    const words = map.begin()
    words.fill(3)
    map.commit()
    expect(map.flashes.some((flash) => flash > 0)).toBe(false)
    expect(map.states[39_999]).toBe(3)
  })
})
