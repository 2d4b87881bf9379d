// Host memory: who holds it, what reclaim may take of it and why not the rest; another process can be made to take it.

import type { PressureReport } from '../../core/machine/api.ts'
import { bytes, count } from '../app/format.ts'
import { usePage, usePageState } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import { useHostState } from '../host-panel/use-host-state.ts'
import { levelOf, levels } from './levels.ts'
import './host-memory.css'

const PressureSlider = ({ total }: { total: number }) => {
  const { supervisor } = usePage()
  const keepFree = usePageState((state) => state.keepFree)
  const isLive = usePageState((state) => state.session.phase === 'live')
  const at = levelOf(keepFree, total)
  return (
    <>
      <label className="control" title="Another process takes anonymous memory of the host">
        <span className="control-name">Pressure</span>
        <input
          type="range"
          data-testid="pressure"
          data-pane-focus=""
          min={0}
          max={levels.length - 1}
          value={at}
          disabled={!isLive || !total}
          aria-label="Pressure on host memory"
          aria-valuetext={levels[at].text}
          onChange={({ target }) =>
            void supervisor.setPressure(levels[Number(target.value)].keepFree(total)).catch(() => undefined)
          }
        />
        <output className="pressure-value" data-testid="pressure-level">
          {levels[at].text}
        </output>
      </label>
      <button
        type="button"
        className="button"
        data-testid="release"
        disabled={!isLive || keepFree === null}
        onClick={() => void supervisor.setPressure(null).catch(() => undefined)}
      >
        Release
      </button>
    </>
  )
}

/** A kind's share of the host's memory: what reclaim may take is solid, the rest is hatched. */
const Share = ({ kind, total }: { kind: PressureReport['kinds'][number]; total: number }) => (
  <span className="share" aria-hidden="true">
    <i className="share-reclaimable" style={{ width: `${(100 * kind.reclaimable) / total}%` }} />
    <i className="share-kept" style={{ width: `${(100 * (kind.frames - kind.reclaimable)) / total}%` }} />
  </span>
)

export const MemoryPanel = () => {
  const report = useHostState()?.pressure
  const total = report?.totalFrames ?? 0
  return (
    <div className="memory-panel" data-testid="memory-panel">
      <div className="memory-head">
        <PressureSlider total={total} />
        {report && (
          <p className="memory-figures">
            <span>
              <b data-testid="free-frames">{count(report.freeFrames)}</b> of {count(total)} frames free
            </span>
            <span>
              <b data-testid="hog-frames">{count(report.hogFrames)}</b> taken by another process
            </span>
          </p>
        )}
      </div>
      {report && (
        <ScrollArea label="Who holds host memory" className="table-scroll" testId="memory-kinds">
          <table className="kinds">
            <thead>
              <tr>
                <th scope="col">Held by</th>
                <th scope="col" className="number">
                  Frames
                </th>
                <th scope="col">
                  <span className="visually-hidden">Share of host memory</span>
                </th>
                <th scope="col" className="number">
                  Reclaim may take
                </th>
                <th scope="col">Why not more</th>
              </tr>
            </thead>
            <tbody>
              {report.kinds.map((kind) => (
                <tr key={kind.kind} data-testid="memory-kind">
                  <th scope="row">{kind.kind}</th>
                  <td className="number" title={bytes(kind.frames * 4096)}>
                    {count(kind.frames)}
                  </td>
                  <td>
                    <Share kind={kind} total={total} />
                  </td>
                  <td className="number">{count(kind.reclaimable)}</td>
                  <td className="wrap muted">{kind.why}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollArea>
      )}
    </div>
  )
}
