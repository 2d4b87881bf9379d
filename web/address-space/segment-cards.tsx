// What each segment of the band is: memslot, device or hole, beside it and always in sight while it is.

import { bytes, hex } from '../app/format.ts'
import type { Axis, Segment, Window } from './axis.ts'
import { rangeFlags } from './range-flags.ts'

const MIN_HEIGHT = 13

type SlotSegment = Segment & { kind: 'slot' }

const SlotCard = ({ segment }: { segment: SlotSegment }) => {
  const { slot, file, inPlace } = segment.maps
  return (
    <>
      <strong>Slot {slot.id}</strong>
      <span>{bytes(segment.size)}</span>
      {rangeFlags(slot.flags, false).map((flag) => (
        <span key={flag}>{flag}</span>
      ))}
      {file && (
        <>
          <span className="card-key">{inPlace ? 'both halves' : 'private half'}</span>
          <span>
            guest_memfd {file.file.ino} + {hex(slot.fileIndex * 4096)}
          </span>
        </>
      )}
      <span className="card-key">{inPlace ? 'mapped at' : file ? 'shared half' : 'host memory'}</span>
      <span>{hex(slot.userspaceAddr)}</span>
    </>
  )
}

const BindingCard = ({ segment }: { segment: SlotSegment }) => {
  const { slot, file } = segment.maps
  return (
    <>
      <strong>Binding {slot.id}</strong>
      <span>{bytes(segment.size)}</span>
      {rangeFlags(slot.flags, true).map((flag) => (
        <span key={flag}>{flag}</span>
      ))}
      {file && (
        <>
          <span className="card-key">lent or in parcels</span>
          <span>
            guest memory file {file.file.ino} + {hex(slot.fileIndex * 4096)}
          </span>
        </>
      )}
    </>
  )
}

interface Shown {
  readonly axis: Axis
  readonly shown: Window
  readonly height: number
  /** The ranges are Gunyah's bindings. */
  readonly underGunyah: boolean
}

export const SegmentCards = ({ axis, shown, height, underGunyah }: Shown) => {
  const perUnit = height / (shown.to - shown.from)
  return (
    <div className="cards">
      {axis.segments.map((segment) => {
        const top = Math.max(0, (segment.at - shown.from) * perUnit)
        const bottom = Math.min(height, (segment.at + segment.length - shown.from) * perUnit)
        if (bottom - top < MIN_HEIGHT) return null
        return (
          <div
            key={segment.base}
            className="card"
            data-kind={segment.kind}
            data-testid={segment.kind === 'slot' ? `slot-${segment.maps.slot.id}` : undefined}
            style={{ top, height: bottom - top }}
          >
            {segment.kind === 'slot' ? (
              underGunyah ? (
                <BindingCard segment={segment} />
              ) : (
                <SlotCard segment={segment} />
              )
            ) : segment.kind === 'mmio' ? (
              <span>{segment.device.name}</span>
            ) : (
              <span className="muted">hole, {bytes(segment.size)}</span>
            )}
          </div>
        )
      })}
    </div>
  )
}
