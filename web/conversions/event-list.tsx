// The kernel's trace events, newest first, filtered by name.

import { useState } from 'react'
import { traceEvents } from '../../core/trace/events.ts'
import { count, hex } from '../app/format.ts'
import { useMachine, useSampled } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'

const REFRESH_MS = 150
const SHOWN = 300

const filterable = traceEvents.map(({ name }) => name)

/** Small numbers and counts read best in decimal, addresses and frame numbers in hexadecimal. */
const fieldText = (name: string, value: number): string =>
  !Number.isInteger(value) ||
  value < 0 ||
  !/gfn|gpa|pfn|hva|start|end|index|pc|stval|htval|sepc|val|flags/.test(name)
    ? String(value)
    : hex(value)

export const EventList = () => {
  const machine = useMachine()
  const [filter, setFilter] = useState('')
  const [withDevices, setWithDevices] = useState(false)
  useSampled(REFRESH_MS)
  const all = (withDevices ? machine?.log.deviceAccesses : machine?.log.events) ?? []
  const wanted = filter.toLowerCase()
  const shown = []
  for (let i = all.length - 1; i >= 0 && shown.length < SHOWN; i--) {
    if (all[i].name.includes(wanted)) shown.push(all[i])
  }
  return (
    <div className="events">
      <div className="events-head">
        <input
          type="search"
          className="field"
          data-testid="event-filter"
          placeholder="Filter by tracepoint"
          aria-label="Filter by tracepoint"
          list="tracepoints"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
        <datalist id="tracepoints">
          {filterable.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <label className="check">
          <input
            type="checkbox"
            data-testid="device-accesses"
            checked={withDevices}
            onChange={(event) => setWithDevices(event.target.checked)}
          />
          Device accesses
        </label>
        {!!machine?.log.lost && <span className="muted">{count(machine.log.lost)} overwritten unread</span>}
      </div>
      <ScrollArea label="Kernel events" className="table-scroll" testId="events">
        <table>
          <thead>
            <tr>
              <th scope="col" className="number">
                ms
              </th>
              <th scope="col">By</th>
              <th scope="col">Tracepoint</th>
              <th scope="col">Fields</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((event) => (
              <tr key={event.id}>
                <td className="number">{(event.time / 1_000).toFixed(3)}</td>
                <td>{event.thread === 0 ? 'host' : `vCPU ${event.thread - 1}`}</td>
                <td className="mono">{event.name}</td>
                <td className="mono fields">
                  {event.fields.map(([name, value]) => `${name}=${fieldText(name, value)}`).join(' ')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {!shown.length && <p className="empty muted">Nothing yet.</p>}
      </ScrollArea>
    </div>
  )
}
