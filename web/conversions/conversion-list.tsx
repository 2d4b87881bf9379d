// The conversions: who asked, what range, from what to what, what KVM did and how long it took; newest first.

import { errnoName } from '../../core/base/errno.ts'
import { PAGE_SIZE } from '../../core/base/units.ts'
import { bytes, duration, hex, pages } from '../app/format.ts'
import { Half } from '../app/half.tsx'
import { useHover } from '../app/map-input.ts'
import { useMachine, usePage, useSampled } from '../app/page.ts'
import { ScrollArea } from '../app/scroll-area.tsx'
import type { PageRef } from '../model/chain.ts'
import type { Conversion } from '../model/event-log.ts'

const REFRESH_MS = 120
const SHOWN = 200
/** KVM_MEMORY_ATTRIBUTE_PRIVATE. */
const PRIVATE = 1 << 3

/** From what to what; the kernel tells the former only of guest pages that change. */
const Change = ({ from, to }: Conversion) => (
  <>
    {from !== null ? (
      <>
        <Half isPrivate={(from & PRIVATE) !== 0} /> →{' '}
      </>
    ) : (
      <span className="muted">to </span>
    )}
    <Half isPrivate={(to & PRIVATE) !== 0} />
  </>
)

/** A range that was refused need not be whole pages. */
const firstPage = ({ start }: Conversion): PageRef => ({ gfn: Math.floor(start) })

const extent = (count: number): string => (Number.isInteger(count) ? pages(count) : bytes(count * PAGE_SIZE))

const outcome = ({ from, ns, errno, zapped }: Conversion): string => {
  if (errno) return `refused: ${errnoName(errno)}`
  if (ns === null) return 'under way'
  // It was so already, or the pages of the file are in no slot yet.
  if (from === null) return 'no gfn changed'
  return zapped ? `zapped ${zapped}` : 'nothing mapped'
}

export const ConversionList = () => {
  const { store } = usePage()
  const hover = useHover()
  const machine = useMachine()
  useSampled(REFRESH_MS)
  const conversions = machine?.log.conversions ?? []
  if (!conversions.length) {
    return (
      <div className="empty" data-testid="conversions">
        <p>No conversions yet.</p>
        <p className="muted">
          Type <code>share +0 4</code> on the console: the guest asks, and its pages change state.
        </p>
      </div>
    )
  }
  const newest = conversions.slice(-SHOWN).reverse()
  return (
    <ScrollArea label="Conversions" className="table-scroll" testId="conversions">
      <table>
        <thead>
          <tr>
            <th scope="col">Asked by</th>
            <th scope="col">Range</th>
            <th scope="col">Change</th>
            <th scope="col">{machine?.sampler.underGunyah ? 'Gunyah' : 'KVM'}</th>
            <th scope="col" className="number">
              Took
            </th>
          </tr>
        </thead>
        <tbody>
          {newest.map((conversion) => (
            <tr
              key={conversion.id}
              data-testid="conversion"
              data-errno={conversion.errno}
              onPointerEnter={() => hover(firstPage(conversion))}
              onPointerLeave={() => hover(null)}
            >
              <td>{conversion.asker}</td>
              <td>
                <button
                  type="button"
                  className="link"
                  onClick={() => store.setState({ selection: firstPage(conversion) })}
                >
                  {hex(conversion.start * PAGE_SIZE)}
                </button>{' '}
                <span className="muted">{extent(conversion.end - conversion.start)}</span>
              </td>
              <td className="change">
                <Change {...conversion} />
              </td>
              <td data-fault={conversion.errno !== 0}>{outcome(conversion)}</td>
              <td className="number">{conversion.ns === null ? '…' : duration(conversion.ns)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollArea>
  )
}
