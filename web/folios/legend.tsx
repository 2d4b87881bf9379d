// The legend: what the maps' colours and marks mean, drawn with the same variables as the maps.

import { HalfLegend } from '../app/half.tsx'

const ENTRIES = [
  ['absent', 'Absent'],
  ['allocated', 'Allocated'],
  ['uptodate', 'Up to date'],
  ['stage2', 'In stage 2'],
  ['host-mapped', 'Host-mapped'],
  ['aside', 'Not in use'],
  ['locked', 'Locked'],
] as const

export const Legend = ({ frames }: { frames: boolean }) => (
  <ul className="legend" aria-label="Legend">
    <HalfLegend />
    {ENTRIES.map(([state, name]) => (
      <li key={state}>
        <i className="swatch" data-half="private" data-state={state} /> {name}
      </li>
    ))}
    {frames && (
      <li>
        <i className="swatch" data-state="kernel" /> Host kernel
      </li>
    )}
  </ul>
)
