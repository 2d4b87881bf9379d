// The address space pane: the guest's physical addresses, memslots, private and shared pages.

import { HalfLegend } from '../app/half.tsx'
import { useMachine, usePageState } from '../app/page.ts'
import { Pane } from '../app/pane.tsx'
import { AddressTable } from './address-table.tsx'
import { BandView } from './band-view.tsx'
import './address-space.css'

export const AddressSpacePane = () => {
  const machine = useMachine()
  const asTables = usePageState((state) => state.tables)
  return (
    <Pane id="address-space" title="Address space" note="GPA">
      {machine ? (
        asTables ? (
          <AddressTable machine={machine} />
        ) : (
          <BandView machine={machine} />
        )
      ) : (
        <p className="empty" />
      )}
      <ul className="legend" aria-label="Legend">
        <HalfLegend />
        <li>
          <i className="swatch" data-state="mapped" /> In stage 2
        </li>
        <li>
          <i className="swatch" data-state="mismatch" /> Guest disagrees
        </li>
      </ul>
    </Pane>
  )
}
