// The memory parcels of Gunyah's Resource Manager: who offered which memory to whom, with what rights, and how far it is.

import { PAGE_SIZE } from '../../core/base/units.ts'
import { hex, pages } from '../app/format.ts'
import { useHover } from '../app/map-input.ts'
import { useMachine, usePage, useSampled } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import { kindName, rightsName, stateName, vmName } from './parcel-words.ts'

const REFRESH_MS = 150

export const ParcelList = () => {
  const { store } = usePage()
  const hover = useHover()
  const machine = useMachine()
  useSampled(REFRESH_MS)
  if (machine && !machine.sampler.underGunyah)
    return (
      <div className="empty" data-testid="parcels">
        <p>KVM has no memory parcels.</p>
        <p className="muted">
          Choose Gunyah in the host’s settings (H): its Resource Manager trades memory by parcel.
        </p>
      </div>
    )
  const parcels = machine?.sampler.parcels ?? []
  if (!parcels.length)
    return (
      <div className="empty" data-testid="parcels">
        <p>No parcels.</p>
        <p className="muted">
          Pages are lent one by one, at their first touch. Type <code>share +0 4</code> on the console: what
          the guest shares is a parcel of the host’s, which it accepts.
        </p>
      </div>
    )
  return (
    <ScrollArea label="Memory parcels" className="table-scroll" testId="parcels">
      <table>
        <thead>
          <tr>
            <th scope="col">Handle</th>
            <th scope="col">Owner</th>
            <th scope="col">Borrower</th>
            <th scope="col">Transfer</th>
            <th scope="col">Rights</th>
            <th scope="col">State</th>
            <th scope="col">Memory</th>
          </tr>
        </thead>
        <tbody>
          {parcels.map((row) => {
            const page = { gfn: row.ipa / PAGE_SIZE }
            return (
              <tr
                key={`${row.handle} ${row.borrower}`}
                data-testid="parcel"
                onPointerEnter={() => row.accepted && hover(page)}
                onPointerLeave={() => hover(null)}
              >
                <td className="mono">{hex(row.handle)}</td>
                <td>{vmName(row.owner)}</td>
                <td>{vmName(row.borrower)}</td>
                <td>{kindName(row)}</td>
                <td className="mono">{rightsName(row)}</td>
                <td>{stateName(row)}</td>
                <td>
                  {row.accepted ? (
                    <button
                      type="button"
                      className="link"
                      onClick={() => store.setState({ selection: page })}
                    >
                      {hex(row.ipa)}
                    </button>
                  ) : (
                    <span className="mono">{hex(row.ipa)}</span>
                  )}{' '}
                  <span className="muted">{pages(row.pages)}</span>
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {machine?.sampler.view.parcels.truncated && (
        <p className="muted">More parcels than the machine’s table shows.</p>
      )}
    </ScrollArea>
  )
}
