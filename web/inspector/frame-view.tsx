// A host frame that no guest page reaches.

import { pfn } from '../../core/base/units.ts'
import { hex } from '../app/format.ts'
import type { Machine } from '../app/supervisor.ts'
import { Field, Section } from './field.tsx'
import { folioFacts } from './folio-facts.ts'

export const FrameView = ({ machine, frame }: { machine: Machine; frame: number }) => {
  const facts = folioFacts(machine.view.folios, pfn(frame))
  return (
    <Section title={`Frame ${hex(frame)}`}>
      <dl>
        <Field name="pfn" id="pfn">
          {hex(frame)}
        </Field>
        <Field name="Owner" id="folio-type">
          {facts.type}
        </Field>
        <Field name="Flags" id="folio-flags">
          {facts.flags}
        </Field>
        <Field name="Refcount" id="refcount">
          {facts.refcount}
        </Field>
      </dl>
      <p className="muted">No guest page reaches this frame.</p>
    </Section>
  )
}
