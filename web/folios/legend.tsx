// The legend: what the maps' colours and marks mean, drawn with the same variables as the maps.

import { HalfLegend } from '../app/half.tsx'

/** States that either half may be in: their swatches have both colours. */
const ENTRIES = [
  ['absent', 'Absent'],
  ['allocated', 'Allocated'],
  ['uptodate', 'Up to date'],
  ['stage2', 'In stage 2'],
  ['host-mapped', 'Host-mapped'],
  ['aside', 'Not in use'],
  ['locked', 'Locked'],
  ['held', 'Extra reference'],
  ['poisoned', 'Poisoned'],
] as const

const LARGE = ['large', '2 MiB folio'] as const

/** What only a host below which Gunyah runs has. */
const GUNYAH = [
  ['lent', 'Out of the host’s stage 2'],
  ['parcel', 'In a parcel'],
] as const
const LOST = ['lost', 'Lost to a guest'] as const

const FRAMES = [
  ['foreign', 'Another process'],
  ['kernel', 'Host kernel'],
] as const

export const Legend = ({ frames, large, gunyah }: { frames: boolean; large: boolean; gunyah: boolean }) => (
  <ul className="legend" aria-label="Legend">
    <HalfLegend />
    {[
      ...ENTRIES,
      ...(large ? [LARGE] : []),
      ...(gunyah ? GUNYAH : []),
      ...(frames ? FRAMES : []),
      ...(frames && gunyah ? [LOST] : []),
    ].map(([state, name]) => (
      <li key={state}>
        <i className="swatch" data-half="both" data-state={state} /> {name}
      </li>
    ))}
  </ul>
)
