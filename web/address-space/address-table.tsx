// The address space's table twin: devices, and runs of guest pages in one state.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { deviceRegionsOf } from '../../core/machine/device-regions.ts'
import { bytes, count, hex } from '../app/format.ts'
import { useHover } from '../app/map-input.ts'
import { usePage, useSampled } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import type { Machine } from '../app/supervisor.ts'
import { describeGuestPage } from '../model/page-state.ts'
import { equalRuns } from '../model/runs.ts'

const REFRESH_MS = 250
const ROW_LIMIT = 400

export const AddressTable = ({ machine }: { machine: Machine }) => {
  const { store } = usePage()
  const hover = useHover()
  useSampled(REFRESH_MS)
  const slots = machine.sampler.slots.map((maps) => ({ maps, ...equalRuns(maps.guest.states, ROW_LIMIT) }))
  const more = slots.reduce((sum, slot) => sum + slot.more, 0)
  return (
    <ScrollArea label="Guest physical address space" className="table-scroll" testId="table-address-space">
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">Size</th>
            <th scope="col">What</th>
          </tr>
        </thead>
        <tbody>
          {deviceRegionsOf(machine.sampler.view).map(({ name, base, size }) => (
            <tr key={base}>
              <th scope="row">{hex(base)}</th>
              <td>{bytes(size)}</td>
              <td className="wrap">{name}, device registers</td>
            </tr>
          ))}
          {slots.flatMap(({ maps: { slot }, runs }) =>
            runs.map(({ start, end, value }) => (
              <tr
                key={slot.baseGfn + start}
                onPointerEnter={() => hover({ gfn: slot.baseGfn + start })}
                onPointerLeave={() => hover(null)}
              >
                <th scope="row">
                  <button
                    type="button"
                    className="link"
                    onClick={() => store.setState({ selection: { gfn: slot.baseGfn + start } })}
                  >
                    {hex((slot.baseGfn + start) * PAGE_SIZE)}
                  </button>
                </th>
                <td>{bytes((end - start) * PAGE_SIZE)}</td>
                <td className="wrap">
                  slot {slot.id}: {describeGuestPage(value)}
                </td>
              </tr>
            )),
          )}
        </tbody>
      </table>
      {more > 0 && <p className="muted">{count(more)} more runs are not listed.</p>}
    </ScrollArea>
  )
}
