// Numbers as the page writes them: hexadecimal addresses, binary sizes, durations.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** 0x80000000; at least `digits` hexadecimal digits. */
export const hex = (value: number, digits = 1): string => `0x${value.toString(16).padStart(digits, '0')}`

/** A size in bytes in the largest binary unit that keeps it exact to two decimals: 128 MiB, 1.5 GiB. */
export const bytes = (value: number): string => {
  let unit = 0
  let scaled = value
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024
    unit++
  }
  return `${Number(scaled.toFixed(2))} ${UNITS[unit]}`
}

/** 32,768. */
export const count = (value: number): string => value.toLocaleString('en-US')

/** `1 page`, `512 pages`. */
export const pages = (value: number): string => `${count(value)} ${value === 1 ? 'page' : 'pages'}`

/** Nanoseconds as the unit that reads best: 850 ns, 7.2 µs, 12 ms. */
export const duration = (ns: number): string => {
  if (ns < 1_000) return `${Math.round(ns)} ns`
  if (ns < 1_000_000) return `${(ns / 1_000).toFixed(1)} µs`
  if (ns < 1_000_000_000) return `${(ns / 1_000_000).toFixed(1)} ms`
  return `${(ns / 1_000_000_000).toFixed(2)} s`
}

/** A rate with a metric prefix: 312 M, 4.1 k, 12. */
export const rate = (value: number): string => {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} G`
  if (value >= 1e6) return `${(value / 1e6).toFixed(0)} M`
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} k`
  return value.toFixed(0)
}

const SUFFIXES: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/** Reads an address or a size: 0x80000000, 4096, 64k, 2M; null when it is neither. */
export const parseNumber = (text: string): number | null => {
  const match = /^\s*(0x[0-9a-f_]+|[0-9_]+)\s*([kmg])?(i?b)?\s*$/i.exec(text)
  if (!match) return null
  const value = Number(match[1].replaceAll('_', ''))
  const scaled = value * (match[2] ? SUFFIXES[match[2].toLowerCase()] : 1)
  return Number.isSafeInteger(scaled) ? scaled : null
}
