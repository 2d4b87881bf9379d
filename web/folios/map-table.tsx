// A folio map's table twin: runs of pages in one state, each a row that can be selected.

import { count, hex } from '../app/format.ts'
import { useHover } from '../app/map-input.ts'
import { usePage, useSampled } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import { describeCell } from '../model/page-state.ts'
import { equalRuns } from '../model/runs.ts'
import type { MapSource } from './page-map-view.tsx'

const REFRESH_MS = 250
const ROW_LIMIT = 400

export const MapTable = ({ source }: { source: MapSource }) => {
  const { store } = usePage()
  const hover = useHover()
  useSampled(REFRESH_MS)
  const { runs, more } = equalRuns(source.map.states, ROW_LIMIT)
  return (
    <ScrollArea label={source.label} className="table-scroll" testId={`table-${source.id}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">Pages</th>
            <th scope="col">Count</th>
            <th scope="col">State</th>
            <th scope="col">First pfn</th>
          </tr>
        </thead>
        <tbody>
          {runs.map(({ start, end, value }) => (
            <tr
              key={start}
              onPointerEnter={() => hover(source.refOf(start))}
              onPointerLeave={() => hover(null)}
            >
              <th scope="row">
                <button
                  type="button"
                  className="link"
                  onClick={() => store.setState({ selection: source.refOf(start) })}
                >
                  {hex(source.base + start)}
                  {end - start > 1 && `–${hex(source.base + end - 1)}`}
                </button>
              </th>
              <td>{count(end - start)}</td>
              <td className="wrap">{describeCell(value)}</td>
              <td>{source.map.pfns[start] >= 0 ? hex(source.map.pfns[start]) : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {more > 0 && <p className="muted">{count(more)} more runs are not listed.</p>}
    </ScrollArea>
  )
}
