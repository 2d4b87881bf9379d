// What a bench is.

import type { Chromium } from './browser.ts'
import type { Figure } from './report.ts'

export interface BenchContext {
  readonly chromium: Chromium
  /** Whether to measure there. */
  readonly node: boolean
  readonly browser: boolean
  /** Scales the number of repetitions; 1 as published. */
  readonly effort: number
  /** Progress, for a person who waits. */
  say(text: string): void
}

export interface Bench {
  readonly name: string
  readonly about: string
  run(context: BenchContext): Promise<Figure[]>
}

/** A number of repetitions, at least three. */
export const repetitions = ({ effort }: BenchContext, published: number): number =>
  Math.max(3, Math.round(published * effort))
