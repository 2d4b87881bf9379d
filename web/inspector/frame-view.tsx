// A host frame that no guest page reaches.

import { hex } from '../app/format.ts'
import type { Machine } from '../app/supervisor.ts'
import { Section } from './field.tsx'
import { FolioFields } from './folio-fields.tsx'

export const FrameView = ({ machine, frame }: { machine: Machine; frame: number }) => (
  <Section title={`Frame ${hex(frame)}`}>
    <FolioFields machine={machine} frame={frame} />
    <p className="muted">No guest page reaches this frame.</p>
  </Section>
)
