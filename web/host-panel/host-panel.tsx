// The host panel: acts as the VMM process on the host does, and shows what the kernel really answers.

import { type FormEvent, useState } from 'react'
import { PAGE_SIZE } from '../../core/base/units.ts'
import type { HostResult } from '../../core/machine/api.ts'
import { hex, parseNumber, bytes as sizeText } from '../app/format.ts'
import { usePage, usePageState } from '../app/page.ts'
import { hexdump } from '../inspector/hexdump.ts'
import { explain, failureName, type HostCall } from './explain.ts'

/** What one read shows. */
const READ_BYTES = 64

interface Outcome {
  readonly id: number
  readonly what: string
  readonly failed: boolean
  readonly result: string
  readonly why: string
}

const KEPT = 50
let outcomes = 0

/** Bytes from `0x41 42 …` pairs or, in quotes or not, from text. */
const parseBytes = (text: string): Uint8Array => {
  const pairs = text.trim().replace(/^0x/i, '')
  if (/^([0-9a-f]{2}\s*)+$/i.test(pairs)) {
    return Uint8Array.from(pairs.replace(/\s+/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  }
  return new TextEncoder().encode(text.replace(/^"(.*)"$/, '$1'))
}

const successText = (call: HostCall, value: unknown): string => {
  if (value instanceof Uint8Array) return hexdump(value)
  return call === 'write' ? `${value} bytes written` : `returned ${value}`
}

export const HostPanel = () => {
  const { supervisor } = usePage()
  const selection = usePageState((state) => state.selection)
  const isLive = usePageState((state) => state.session.phase === 'live')
  const [address, setAddress] = useState<string | null>(null)
  const [size, setSize] = useState('4096')
  const [data, setData] = useState('"hello from the host"')
  const [log, setLog] = useState<readonly Outcome[]>([])
  const selected = selection && 'gfn' in selection ? hex(selection.gfn * PAGE_SIZE) : '0x84000000'
  const shownAddress = address ?? selected
  const gpa = parseNumber(shownAddress)
  const length = parseNumber(size)

  const note = (what: string, failed: boolean, result: string, why: string): void =>
    setLog((log) => [{ id: ++outcomes, what, failed, result, why }, ...log].slice(0, KEPT))

  const act = async (
    call: HostCall,
    what: string,
    run: () => Promise<HostResult<unknown>>,
  ): Promise<void> => {
    try {
      const result = await run()
      if (result.kind === 'ok') note(what, false, successText(call, result.value), '')
      else note(what, true, failureName(result), explain(call, result))
    } catch (error) {
      note(what, true, 'no answer', error instanceof Error ? error.message : String(error))
    }
  }

  const { api } = isLive ? supervisor : { api: null }
  const at = gpa === null ? '' : hex(gpa)
  const over = length === null ? '' : sizeText(length)
  const ready = api !== null && gpa !== null
  const ranged = ready && length !== null
  const actions: readonly { call: HostCall; id: string; title: string; enabled: boolean; run: () => void }[] =
    [
      {
        call: 'read',
        id: 'host-read',
        title: 'Read',
        enabled: ready,
        run: () =>
          ready && void act('read', `load ${READ_BYTES} bytes at ${at}`, () => api.hostRead(gpa, READ_BYTES)),
      },
      {
        call: 'write',
        id: 'host-write',
        title: 'Write',
        enabled: ready,
        run: () => ready && void act('write', `store at ${at}`, () => api.hostWrite(gpa, parseBytes(data))),
      },
      {
        call: 'convert',
        id: 'host-to-shared',
        title: 'To shared',
        enabled: ranged,
        run: () =>
          ranged &&
          void act('convert', `KVM_SET_MEMORY_ATTRIBUTES, ${over} at ${at}: shared`, () =>
            api.hostConvert(gpa, length, false),
          ),
      },
      {
        call: 'convert',
        id: 'host-to-private',
        title: 'To private',
        enabled: ranged,
        run: () =>
          ranged &&
          void act('convert', `KVM_SET_MEMORY_ATTRIBUTES, ${over} at ${at}: private`, () =>
            api.hostConvert(gpa, length, true),
          ),
      },
      {
        call: 'punch',
        id: 'host-punch',
        title: 'Punch hole',
        enabled: ranged,
        run: () =>
          ranged &&
          void act('punch', `fallocate, punch ${over} at ${at}`, () => api.hostPunchHole(gpa, length)),
      },
      {
        call: 'allocate',
        id: 'host-allocate',
        title: 'Allocate',
        enabled: ranged,
        run: () =>
          ranged &&
          void act('allocate', `fallocate, allocate ${over} at ${at}`, () => api.hostAllocate(gpa, length)),
      },
    ]

  const submit = (event: FormEvent): void => {
    event.preventDefault()
    actions[0].run()
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
              actions[1].run()
            }}
          />
        </label>
        <div className="host-actions">
          {actions.map(({ id, title, enabled, run }) => (
            <button
              type="button"
              key={id}
              className="button"
              data-testid={id}
              disabled={!enabled}
              onClick={run}
            >
              {title}
            </button>
          ))}
          {address !== null && (
            <button type="button" className="button quiet" onClick={() => setAddress(null)}>
              Follow the selection
            </button>
          )}
        </div>
      </form>
      <ol className="outcomes" aria-live="polite" data-testid="host-log">
        {!log.length && (
          <li className="muted">
            These act as the VMM process does: loads, stores and system calls on its own mapping and files,
            with the answers the kernel gives it. <kbd>Enter</kbd> reads, or writes in the last field.
          </li>
        )}
        {log.map(({ id, what, failed, result, why }) => (
          <li key={id} data-failed={failed} data-testid="host-outcome">
            <span className="muted">{what}</span>
            {result.includes('\n') ? <pre>{result}</pre> : <strong>{result}</strong>}
            {why && <span>{why}</span>}
          </li>
        ))}
      </ol>
    </div>
  )
}
