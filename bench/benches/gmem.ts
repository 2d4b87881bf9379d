// gmem: the guest_memfd path through its system calls, on both folio stores, beside the running kernel's own.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { findExecutable } from '../../scripts/browsers.mjs'
import { type Bench, type BenchContext, repetitions } from '../bench.ts'
import { guestWork, nativeWork, rateOf } from '../gmem-work.ts'
import { atLeast, type Figure, figure, type Goal } from '../report.ts'

const NAME = 'gmem'
const ROUNDS = 5
const root = process.env.GMEMSCOPE_ROOT ?? '.'

/** What Linux 6.18 did on the machine where the goals were set; the emulated work is to be at or above each. */
const goals: Readonly<Record<string, Goal>> = {
  create_close: atLeast(267_035),
  fallocate_whole: atLeast(1_457_115),
  punch_whole: atLeast(2_895_061),
  alternate_pages: atLeast(395_927),
  fault_fresh: atLeast(372_818),
  bind_delete_2m_1_other: atLeast(35_191),
  bind_delete_2m_500_others: atLeast(35_191),
}

/** The native program, built; null where the kernel offers no guest_memfd or there is no C compiler. */
const buildNative = ({ say }: BenchContext): string | null => {
  const compiler = findExecutable(['cc', 'gcc', 'clang'])
  if (!compiler || !existsSync('/dev/kvm')) {
    say('no C compiler or no /dev/kvm: the native figures are left out')
    return null
  }
  const folder = join(root, '.cache', 'native')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, 'gmem')
  execFileSync(compiler, ['-O2', '-o', program, join(root, 'bench/native/gmem.c')])
  try {
    nativeRate(program, 'create_close')
    return program
  } catch (error) {
    say(
      `this kernel offers no guest_memfd (${error instanceof Error ? error.message.trim() : error}): the native figures are left out`,
    )
    return null
  }
}

const nativeRate = (program: string, work: string): number =>
  Number(execFileSync(program, [work], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }))

export const gmem: Bench = {
  name: NAME,
  about: 'guest_memfd through its system calls, emulated work beside native work',
  async run(context) {
    if (!context.node) return []
    const native = buildNative(context)
    const rounds = repetitions(context, ROUNDS)
    const figures: Figure[] = []
    for (const work of [...nativeWork, ...guestWork]) {
      const peer = nativeWork.includes(work) ? native : null
      const rates = { xarray: [] as number[], filemap: [] as number[], native: [] as number[] }
      for (let round = 0; round < rounds; round++) {
        rates.xarray.push(rateOf(work, 'xarray'))
        rates.filemap.push(rateOf(work, 'filemap'))
        if (peer) rates.native.push(nativeRate(peer, work.name))
      }
      context.say(`${NAME}: ${work.name} done`)
      const row = (what: string, unit: string, samples: number[], goal?: Goal): void => {
        figures.push(figure(NAME, `${work.name}: ${what}`, unit, samples, { goal }))
      }
      row('emulated, xarray', work.unit, rates.xarray, goals[work.name])
      row('emulated, filemap', work.unit, rates.filemap, goals[work.name])
      if (!peer) continue
      row('native', work.unit, rates.native)
      row(
        'emulated work, xarray, of native',
        '%',
        rates.xarray.map((rate, i) => (100 * rate) / rates.native[i]),
      )
    }
    return figures
  },
}
