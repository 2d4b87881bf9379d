import { describe, expect, it } from 'vitest'
import { bytes, count, duration, hex, pages, parseNumber, rate } from './format.ts'

describe('parseNumber', () => {
  it.each([
    ['0x80000000', 0x80000000],
    ['0x8000_0000', 0x80000000],
    [' 4096 ', 4096],
    ['64k', 65_536],
    ['2 MiB', 2 * 2 ** 20],
    ['1G', 2 ** 30],
  ])('reads %s', (text, value) => expect(parseNumber(text)).toBe(value))

  it.each(['', 'share', '0x', '12x', '0xffffffffffffffff', '-1'])('refuses %j', (text) =>
    expect(parseNumber(text)).toBeNull(),
  )
})

describe('numbers for people', () => {
  it('writes sizes exactly when it can', () => {
    expect(bytes(128 * 2 ** 20)).toBe('128 MiB')
    expect(bytes(1536)).toBe('1.5 KiB')
    expect(bytes(256)).toBe('256 B')
  })

  it('writes durations in the unit that fits', () => {
    expect(duration(850)).toBe('850 ns')
    expect(duration(7_230)).toBe('7.2 µs')
    expect(duration(12_000_000)).toBe('12.0 ms')
    expect(duration(2.5e9)).toBe('2.50 s')
  })

  it('writes counts, rates and addresses', () => {
    expect(count(32_768)).toBe('32,768')
    expect(pages(1)).toBe('1 page')
    expect(pages(512)).toBe('512 pages')
    expect(rate(4_120)).toBe('4.1 k')
    expect(rate(12)).toBe('12')
    expect(hex(0x80000000)).toBe('0x80000000')
  })
})
