// What the folio table says of one frame, as fields.

import { pfn } from '../../core/base/units.ts'
import { hex } from '../app/format.ts'
import type { Machine } from '../app/supervisor.ts'
import { Field } from './field.tsx'
import { folioFacts } from './folio-facts.ts'

export const FolioFields = ({ machine, frame }: { machine: Machine; frame: number }) => {
  const facts = folioFacts(machine.view.folios, pfn(frame))
  return (
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
      <Field name="Mapped by host" id="mapcount">
        {facts.mapcount}
      </Field>
      <Field name="In stage 2" id="guest-mapcount">
        {facts.guestMapcount}
      </Field>
    </dl>
  )
}
