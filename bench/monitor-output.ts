// Reads what the monitor's `bench` and `touch` print.

const number = (text: string, pattern: RegExp): number => {
  const match = pattern.exec(text)
  if (!match) throw new Error(`the monitor printed no ${pattern.source}: ${text}`)
  return Number(match[1])
}

export interface MonitorBench {
  readonly mips: number
  /** MB/s of the copy loop. */
  readonly stream: number
}

export const monitorBench = (text: string): MonitorBench => ({
  mips: number(text, /integer loop\s+(\d+) MIPS/),
  stream: number(text, /memory stream\s+(\d+) MB\/s/),
})
