// The two halves of guest memory, named with their marks.

export const Half = ({ isPrivate }: { isPrivate: boolean }) => {
  const name = isPrivate ? 'private' : 'shared'
  return (
    <span className="half" data-half={name}>
      {name}
    </span>
  )
}

/** The first two entries of every map's legend. */
export const HalfLegend = () => (
  <>
    <li>
      <i className="swatch" data-half="private" data-state="stage2" /> Private
    </li>
    <li>
      <i className="swatch" data-half="shared" data-state="stage2" /> Shared
    </li>
  </>
)
