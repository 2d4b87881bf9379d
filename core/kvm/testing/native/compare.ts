// Compares recorded cases with the emulated kernel, makes a case that differs as short as it gets, and picks the cases
// worth keeping.

import type { Case, Difference, Replayer } from '../replay.ts'
import type { Plan, Recorder } from './recorder.ts'

/** A recorded case as something to perform again. */
export const withoutAnswers = (recorded: Case): Plan => ({
  ...recorded,
  steps: recorded.steps.map(({ ret: _ret, errno: _errno, out: _out, ...request }) => request),
})

/** The first difference, or null. What the emulated kernel throws counts as its answer. */
export const firstDifference = (recorded: Case, replayer: Replayer): Difference | null => {
  try {
    return replayer.replay(recorded)
  } catch (error) {
    const thrown = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const step = recorded.steps.length - 1
    return { step, call: recorded.steps[step], expected: null, actual: { thrown } }
  }
}

const errnoOf = (answer: unknown): unknown => (answer as { errno?: unknown } | null)?.errno

const kindOf = ({ call, expected, actual }: Difference): string =>
  JSON.stringify([call.op, errnoOf(expected), errnoOf(actual)])

/** The shortest case found that still differs in the same way: steps go as long as the difference stays. */
export const shrink = (recorded: Case, recorder: Pick<Recorder, 'record'>, replayer: Replayer): Case => {
  let found = firstDifference(recorded, replayer)
  if (!found) return recorded
  const kind = kindOf(found)
  let best: Case = { ...recorded, steps: recorded.steps.slice(0, found.step + 1) }
  for (let size = Math.max(1, best.steps.length >> 1); size >= 1; size >>= 1) {
    for (let at = best.steps.length - size; at >= 0; at -= size) {
      const { steps } = withoutAnswers(best)
      const plan = { ...best, steps: [...steps.slice(0, at), ...steps.slice(at + size)] }
      const [shorter] = recorder.record([plan])
      found = firstDifference(shorter, replayer)
      if (found && kindOf(found) === kind) best = shorter
    }
  }
  return best
}

/** What a case's answers are about, a line a step: the call, kind of file, what was asked, and what came of it. */
const signatures = ({ group, steps }: Case): string[] => {
  const kinds = new Map<unknown, unknown>()
  return steps.map((step) => {
    const { op, errno, ret, out, fd, as } = step
    if (as !== undefined && errno === null) kinds.set(as, step.kind ?? kinds.get(fd) ?? op)
    const asked = [
      step.mode,
      step.advice,
      step.whence,
      step.cmd,
      step.prot,
      step.slot !== undefined && step.flags,
    ]
    return JSON.stringify([group, op, kinds.get(fd), errno ?? asked, Math.sign(ret), out.signal, out.code])
  })
}

/**
 * Of the cases, those with answers that the others kept do not have, each up to its last such, in `limit` bytes, of
 * which every group gets the same share. Rare answers come first.
 */
export const informative = (cases: readonly Case[], limit: number): Case[] => {
  const about = cases.map((recorded) => ({ recorded, answers: signatures(recorded) }))
  const counts = new Map<string, number>()
  for (const { answers } of about)
    for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  const rarity = (answers: readonly string[]): number =>
    answers.reduce((sum, answer) => sum + 1 / (counts.get(answer) ?? 1), 0)
  const groups = new Set(cases.map(({ group }) => group))
  const left = new Map([...groups].map((group) => [group, limit / groups.size]))
  const seen = new Set<string>()
  const kept = about
    .sort((a, b) => rarity(b.answers) - rarity(a.answers))
    .flatMap(({ recorded, answers }) => {
      const end = answers.findLastIndex((answer) => !seen.has(answer)) + 1
      const shorter = { ...recorded, steps: recorded.steps.slice(0, end) }
      const room = (left.get(recorded.group) ?? 0) - JSON.stringify(shorter).length
      if (end === 0 || room < 0) return []
      left.set(recorded.group, room)
      for (const answer of answers.slice(0, end)) seen.add(answer)
      return [shorter]
    })
  return kept.sort((a, b) => (a.id < b.id ? -1 : 1))
}
