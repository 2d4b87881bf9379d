// What a bench hands back, and how it is shown: a table for people, JSON for programs.

import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { median, quantile } from './stats.ts'

/** One measured quantity. */
export interface Figure {
  readonly bench: string
  readonly name: string
  readonly unit: string
  /** The median of `samples`, unless the name says otherwise. */
  readonly value: number
  /** The spread of the samples: their 10th and 90th percentiles. */
  readonly low: number
  readonly high: number
  readonly samples: number
  readonly goal?: Goal
}

/** What the project promises; `value` in the figure's unit. */
export interface Goal {
  readonly kind: 'at least' | 'below'
  readonly value: number
}

export const atLeast = (value: number): Goal => ({ kind: 'at least', value })
export const below = (value: number): Goal => ({ kind: 'below', value })

/** A figure from its samples; `value` when it is not their median. */
export const figure = (
  bench: string,
  name: string,
  unit: string,
  samples: readonly number[],
  { goal, value }: { goal?: Goal | undefined; value?: number } = {},
): Figure => ({
  bench,
  name,
  unit,
  value: value ?? median(samples),
  low: quantile(samples, 0.1),
  high: quantile(samples, 0.9),
  samples: samples.length,
  ...(goal ? { goal } : {}),
})

/** Where the figures come from. */
export interface Environment {
  readonly date: string
  readonly processor: string
  readonly cores: number
  readonly node: string
  /** One-minute load of the computer before the first bench and after the last. */
  readonly load: readonly [number, number]
  readonly versions: Readonly<Record<string, string>>
}

export const environment = (loadBefore: number, versions: Readonly<Record<string, string>>): Environment => ({
  date: new Date().toISOString().slice(0, 10),
  processor: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  node: process.version,
  load: [loadBefore, loadavg()[0]],
  versions,
})

const format = (value: number): string =>
  Number.isNaN(value)
    ? '-'
    : value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })

const verdict = ({ goal, value }: Figure): string => {
  if (!goal) return ''
  const met = goal.kind === 'below' ? value < goal.value : value >= goal.value
  return `${met ? 'met' : 'MISSED'}: ${goal.kind} ${format(goal.value)}`
}

/** Markdown, aligned, so that it reads in a terminal and in a README alike. */
export const table = (figures: readonly Figure[]): string => {
  const rows = figures.map((f) => [
    f.bench,
    f.name,
    format(f.value),
    f.unit,
    `${format(f.low)} - ${format(f.high)}`,
    String(f.samples),
    verdict(f),
  ])
  const head = ['bench', 'what', 'median', 'unit', '10 % - 90 %', 'samples', 'goal']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)))
  const numeric = new Set([2, 4, 5])
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (numeric.has(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (numeric.has(i) ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** Runnable processes other than this one, now; the load average would remember this bench's own work. */
const othersRunning = (): number => {
  try {
    return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[3].split('/')[0]) - 1
  } catch {
    return 0 // not Linux: nothing to go by
  }
}

const QUIET_SAMPLES = 5
const SAMPLE_MS = 40

/** Waits until nobody else uses a processor, at most `seconds`; true when it got quiet. */
export const quiet = async (seconds = 20): Promise<boolean> => {
  const end = performance.now() + seconds * 1000
  for (let idle = 0; performance.now() < end; ) {
    idle = othersRunning() > 0 ? 0 : idle + 1
    if (idle === QUIET_SAMPLES) return true
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
  }
  return false
}
