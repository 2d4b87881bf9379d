// What the folio table says of one frame, as fields.

import { pfn } from '../../core/base/units.ts'
import { hex } from '../app/format.ts'
import { usePageState } from '../app/page.ts'
import type { Machine } from '../app/supervisor.ts'
import { Field } from './field.tsx'
import { folioFacts } from './folio-facts.ts'

export const FolioFields = ({ machine, frame }: { machine: Machine; frame: number }) => {
  const store = usePageState((state) => state.settings.host.gmemStore)
  const facts = folioFacts(machine.view.folios, pfn(frame), store, machine.sampler.underGunyah)
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
      <Field name="References" id="references">
        {facts.refcount}
        {facts.references.length > 0 && `: ${facts.references.join(', ')}`}
      </Field>
      {facts.lru !== null && (
        <Field name="LRU" id="lru">
          {facts.lru}
        </Field>
      )}
      <Field name="In stage 2" id="guest-mapcount">
        {facts.guestMapcount}
      </Field>
    </dl>
  )
}
