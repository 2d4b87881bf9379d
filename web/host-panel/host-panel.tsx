// The host panel: acts as the VMM process on the host does, and shows what the kernel really answers.

import { type FormEvent, useState } from 'react'
import { PAGE_SIZE } from '../../core/base/units.ts'
import { hex, parseNumber } from '../app/format.ts'
import { usePage, usePageState } from '../app/page.ts'
import { type HostAction, hostActions } from './actions.ts'
import { HeldPages } from './held-pages.tsx'
import { Outcomes } from './outcomes.tsx'
import { perform } from './perform.ts'

const groups = ['bytes', 'convert', 'file', 'reference', 'host'] as const

/** Bytes from `0x41 42 …` pairs or, in quotes or not, from text. */
const parseBytes = (text: string): Uint8Array => {
  const pairs = text.trim().replace(/^0x/i, '')
  if (/^([0-9a-f]{2}\s*)+$/i.test(pairs)) {
    return Uint8Array.from(pairs.replace(/\s+/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  }
  return new TextEncoder().encode(text.replace(/^"(.*)"$/, '$1'))
}

const actionOf = (id: string): HostAction | undefined => hostActions.find((action) => action.id === id)

export const HostPanel = () => {
  const page = usePage()
  const selection = usePageState((state) => state.selection)
  const isLive = usePageState((state) => state.session.phase === 'live')
  const [address, setAddress] = useState<string | null>(null)
  const [size, setSize] = useState('4096')
  const [data, setData] = useState('"hello from the host"')
  const selected = selection && 'gfn' in selection ? hex(selection.gfn * PAGE_SIZE) : '0x84000000'
  const shownAddress = address ?? selected
  const gpa = parseNumber(shownAddress)
  const length = parseNumber(size)

  const isReady = ({ needs }: HostAction): boolean =>
    isLive && (needs === 'nothing' || (gpa !== null && (needs === 'page' || length !== null)))
  const run = (action: HostAction | undefined): void => {
    if (!action || !isReady(action)) return
    void perform(page, action, { gpa: gpa ?? 0, size: length ?? 0, data: parseBytes(data) })
  }
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    run(actionOf('read'))
  }
  return (
    <div className="host-panel" data-testid="host-panel">
      <form className="host-form" onSubmit={submit}>
        <label>
          Address (GPA)
          <input
            className="field mono"
            data-testid="host-address"
            data-pane-focus=""
            value={shownAddress}
            aria-invalid={gpa === null}
            onChange={(event) => setAddress(event.target.value)}
            onBlur={(event) => {
              if (!event.target.value.trim()) setAddress(null)
            }}
          />
        </label>
        <label>
          Size
          <input
            className="field mono"
            data-testid="host-size"
            value={size}
            aria-invalid={length === null}
            onChange={(event) => setSize(event.target.value)}
          />
        </label>
        <label className="wide">
          Bytes to write
          <input
            className="field mono"
            data-testid="host-data"
            value={data}
            onChange={(event) => setData(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter') return
              event.preventDefault()
              run(actionOf('write'))
            }}
          />
        </label>
        <div className="host-actions">
          {groups.map((group) => (
            <div key={group} className="host-group">
              {hostActions
                .filter((action) => action.group === group)
                .map((action) => (
                  <button
                    type="button"
                    key={action.id}
                    className="button"
                    data-testid={`host-${action.id}`}
                    title={action.hint}
                    disabled={!isReady(action)}
                    onClick={() => run(action)}
                  >
                    {action.title}
                  </button>
                ))}
            </div>
          ))}
          {address !== null && (
            <button type="button" className="button quiet" onClick={() => setAddress(null)}>
              Follow the selection
            </button>
          )}
        </div>
      </form>
      <HeldPages />
      <Outcomes />
    </div>
  )
}
