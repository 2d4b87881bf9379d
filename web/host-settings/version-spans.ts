// A row of the version table as spans: what holds over several versions is said once.

import type { LinuxVersion, VersionRow } from '../../core/machine/host-choice.ts'

export interface VersionSpan {
  readonly text: string
  /** The versions it holds for, in order. */
  readonly versions: readonly LinuxVersion[]
  /** The version before its first answers otherwise. */
  readonly changed: boolean
}

export const versionSpans = ({ cells }: VersionRow): readonly VersionSpan[] => {
  const spans: { text: string; versions: LinuxVersion[]; changed: boolean }[] = []
  for (const { version, text, changed } of cells) {
    const last = spans.at(-1)
    if (last && !changed) last.versions.push(version)
    else spans.push({ text, versions: [version], changed })
  }
  return spans
}

/** True when a row answers alike for both versions. */
export const answersAlike = (row: VersionRow, a: LinuxVersion, b: LinuxVersion): boolean => {
  const textAt = (version: LinuxVersion): string | undefined =>
    row.cells.find((cell) => cell.version === version)?.text
  return textAt(a) === textAt(b)
}
