// page: what the live page costs the guest, how long its frames take, how soon it shows the guest's first words.

import { type Bench, type BenchContext, repetitions } from '../bench.ts'
import { LivePage } from '../live-page.ts'
import { monitorBench } from '../monitor-output.ts'
import { atLeast, below, type Figure, figure } from '../report.ts'

const NAME = 'page'
const BENCH_DONE = /serial port\s+\d+ kB/
/** Frames with less script than this drew nothing (ms). */
const DREW_MS = 0.3

/** MIPS of the monitor's integer loop in a fresh real page; warm, on one vCPU. */
const liveMips = async ({ chromium }: BenchContext, hovering: boolean): Promise<number> => {
  const live = await LivePage.boot(await chromium.newLive({ vcpus: 1, ramMiB: 128 }))
  await live.command('bench', BENCH_DONE)
  await live.hover(hovering)
  const { mips } = monitorBench(await live.command('bench', BENCH_DONE))
  await live.close()
  return mips
}

const bareMips = async ({ chromium }: BenchContext): Promise<number> => {
  const page = await chromium.openBare()
  await page.bootMonitor()
  await page.command('bench')
  const { mips } = monitorBench(await page.command('bench'))
  await page.close()
  return mips
}

const guestSpeed = async (context: BenchContext): Promise<Figure[]> => {
  const still: number[] = []
  const drawing: number[] = []
  const bare: number[] = []
  for (let i = 0; i < repetitions(context, 7); i++) {
    bare.push(await bareMips(context))
    still.push(await liveMips(context, false))
    drawing.push(await liveMips(context, true))
  }
  const of = (live: readonly number[]): number[] => live.map((mips, i) => (100 * mips) / bare[i])
  return [
    figure(NAME, 'integer loop, bare page', 'MIPS', bare),
    figure(NAME, 'integer loop, live page at rest', 'MIPS', still),
    figure(NAME, 'integer loop, live page drawing every frame', 'MIPS', drawing),
    figure(NAME, 'live page at rest, of the bare one', '%', of(still), { goal: atLeast(95) }),
    figure(NAME, 'live page drawing, of the bare one', '%', of(drawing), { goal: atLeast(95) }),
  ]
}

/** Frame time with a guest of `ramMiB` that touched all its memory, while it converts pages. */
const frameTime = async (context: BenchContext, ramMiB: number, frames: boolean): Promise<Figure[]> => {
  const live = await LivePage.boot(await context.chromium.newLive({ vcpus: 1, ramMiB }))
  // The monitor's image and the device tree at the top of RAM are mapped already, and must stay as they are.
  const first = 0x80300000
  const pages = (ramMiB - 8) * 256
  await live.command(`touch 0x${first.toString(16)} ${pages}`, /\d+ pages touched/)
  if (frames) await live.page.getByText('Host frames', { exact: true }).first().click()
  await live.page.waitForTimeout(1000)
  const folios = await live.figure('folios')
  const own: number[] = []
  const drew: number[] = []
  for (let i = 0; i < repetitions(context, 5); i++) {
    await live.takeFrames()
    for (let j = 0; j < 6; j++) {
      await live.command('share +0 16', /now shared/)
      await live.command('unshare +0 16', /now private/)
    }
    own.push(await live.figure('frame'))
    drew.push(...(await live.takeFrames()).filter((ms) => ms > DREW_MS))
  }
  await live.close()
  const what = `${folios.toLocaleString('en')} folios in use, ${ramMiB} MiB guest, ${frames ? 'frame map' : 'both halves'}`
  return [
    figure('frames', `frame script, ${what}`, 'ms', drew, { goal: below(8) }),
    figure('frames', `frame as the page times it, ${what}`, 'ms', own, { goal: below(8) }),
  ]
}

const firstText = async (context: BenchContext): Promise<Figure> => {
  const samples: number[] = []
  for (let i = 0; i <= repetitions(context, 9); i++) {
    const live = await LivePage.boot(await context.chromium.newLive())
    // The first visit starts browser and server.
    if (i > 0) samples.push((await live.firstText()) / 1000)
    await live.close()
  }
  return figure(NAME, 'navigation to first console text', 's', samples, { goal: below(1.5) })
}

export const page: Bench = {
  name: NAME,
  about: 'the live page: its start, and its cost to the guest',
  async run(context) {
    return context.browser ? [await firstText(context), ...(await guestSpeed(context))] : []
  },
}

export const frames: Bench = {
  name: 'frames',
  about: 'frame time with 262,144 folios',
  async run(context) {
    if (!context.browser) return []
    // 1 GiB of RAM: 262,144 folios in use. 384 MiB: a host of 1 GiB, whose frame map has 262,144 cells.
    const full = await frameTime(context, 1024, false)
    return [...full, ...(await frameTime(context, 384, true))]
  },
}
