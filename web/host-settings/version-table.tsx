// What differs between the Linux versions: a row a behaviour, a column a version; a column's head chooses it.

import { Fragment } from 'react'
import { type LinuxVersion, linuxVersions, versionTable } from '../../core/machine/host-choice.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import { versionName } from './host-name.ts'
import { answersAlike, versionSpans } from './version-spans.ts'

/** Words from this length on may need to break: identifiers do it behind their underscores. */
const LONG_WORD = 18

/** The text, its long identifiers with places to break at. */
const breakable = (text: string) =>
  text
    .split(' ')
    .map((word) => (word.length < LONG_WORD ? [word] : word.split(/(?<=[_:/])(?=\w)/)))
    .flatMap((parts, word) =>
      parts.map((part, i) => ({ part, before: i > 0 ? <wbr /> : word > 0 ? ' ' : '' })),
    )
    .map(({ part, before }, i) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never change their order
      <Fragment key={i}>
        {before}
        {part}
      </Fragment>
    ))

const shortName = (version: LinuxVersion): string => version.replace('next-in-place', 'next, in place')

export const VersionTable = ({
  chosen,
  running,
  onChoose,
}: {
  chosen: LinuxVersion
  running: LinuxVersion
  onChoose: (version: LinuxVersion) => void
}) => (
  <ScrollArea label="What differs between Linux versions" className="version-scroll" testId="version-table">
    <table className="versions">
      <colgroup>
        <col className="versions-title" />
        {linuxVersions.map((version) => (
          <col key={version} className={version === linuxVersions.at(-1) ? '' : 'versions-column'} />
        ))}
      </colgroup>
      <thead>
        <tr>
          <th scope="col">What differs</th>
          {linuxVersions.map((version) => (
            <th key={version} scope="col" data-chosen={version === chosen}>
              <button
                type="button"
                aria-pressed={version === chosen}
                aria-label={`${versionName(version)}${version === running ? ', running' : ''}`}
                data-testid={`version-${version}`}
                onClick={() => onChoose(version)}
              >
                {shortName(version)}
              </button>
              {version === running && <small>running</small>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {versionTable.map((row) => (
          <tr key={row.title} data-differs={!answersAlike(row, chosen, running)}>
            <th scope="row">{breakable(row.title)}</th>
            {versionSpans(row).map(({ text, versions, changed }) => (
              <td
                key={versions[0]}
                colSpan={versions.length}
                data-changed={changed}
                data-chosen={versions.includes(chosen)}
              >
                {breakable(text)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </ScrollArea>
)
