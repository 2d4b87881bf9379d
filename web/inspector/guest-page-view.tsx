// A guest page: its chain, its state, its folio, its walks and its bytes.

import { PAGE_SIZE } from '../../core/base/units.ts'
import type { PageInspection } from '../../core/machine/api.ts'
import { rangeFlags, rangeName } from '../address-space/range-flags.ts'
import { hex } from '../app/format.ts'
import { Half } from '../app/half.tsx'
import type { Machine } from '../app/supervisor.ts'
import type { Chain } from '../model/chain.ts'
import { Field, Section, Walk } from './field.tsx'
import { FolioFields } from './folio-fields.tsx'
import { Bytes, HostStage2 } from './host-view.tsx'
import { useInspection } from './use-inspection.ts'
import { XarrayPath } from './xarray-path.tsx'

/** A link of the chain; where it leads to a folio, `target` says to which and stays in one piece. */
const Link = ({
  name,
  id,
  value,
  target,
  lit,
}: {
  name: string
  id: string
  value: string
  target?: string
  lit: boolean
}) => (
  <li className="link-row" data-lit={lit}>
    <span className="muted">{name}</span>
    <span className="mono" data-field={id}>
      <span>{value}</span>
      {target !== undefined && <span> → {target}</span>}
    </span>
  </li>
)

interface ChainProps {
  readonly chain: Chain
  readonly gfn: number
  /** There is one storage, which the host does not map. */
  readonly underGunyah: boolean
}

/** gfn, slot, then both halves, or the one storage: what the attribute picks is lit. */
const ChainLinks = ({ chain, gfn, underGunyah }: ChainProps) => {
  const { slot, attributePrivate, file, fileIndex, gmemPfn, hostPfn, page } = chain
  const folio = (frame: number): string => (frame < 0 ? 'no folio' : `pfn ${hex(frame)}`)
  const isSingle = underGunyah || (slot?.inPlace ?? false)
  return (
    <ol className="chain" aria-label="Chain">
      <Link name="Guest page" id="gfn" value={`gfn ${hex(gfn)}`} lit />
      {slot && (
        <Link
          name={rangeName(underGunyah)}
          id="slot"
          value={`${underGunyah ? 'binding' : 'slot'} ${slot.slot.id}, page ${hex(page ?? 0)}`}
          lit
        />
      )}
      {file && fileIndex !== null && (
        <Link
          name={isSingle ? 'Storage' : 'Private half'}
          id="gmem"
          value={`${underGunyah ? 'gh-gmem' : 'guest_memfd'} ${file.file.ino} [${hex(fileIndex)}]`}
          target={folio(gmemPfn)}
          lit={attributePrivate || isSingle}
        />
      )}
      {slot && page !== null && !underGunyah && (
        <Link
          name={slot.inPlace ? 'Host maps it' : 'Shared half'}
          id="host"
          value={`hva ${hex(slot.slot.userspaceAddr + page * PAGE_SIZE)}`}
          {...(slot.inPlace ? {} : { target: folio(hostPfn) })}
          lit={!attributePrivate}
        />
      )}
    </ol>
  )
}

/** Where the folio lies and what it is part of. */
const Placement = ({ inspection }: { inspection: PageInspection }) => (
  <dl>
    <Field name="NUMA node" id="node">
      {inspection.node ?? '–'}
    </Field>
    {inspection.large && (
      <Field name="Size" id="folio-size">
        2 MiB folio <span className="tag">project-own</span>
      </Field>
    )}
    {inspection.poisoned && (
      <Field name="Poisoned" id="poisoned">
        <span data-fault="true">its contents are lost; punch the page for another frame</span>
      </Field>
    )}
  </dl>
)

export const GuestPageView = ({ machine, chain, gfn }: { machine: Machine; chain: Chain; gfn: number }) => {
  const inspection = useInspection(gfn)
  const frame = chain.pfn
  const { underGunyah } = machine.sampler
  return (
    <>
      <Section title={`Page ${hex(gfn * PAGE_SIZE)}`}>
        <ChainLinks chain={chain} gfn={gfn} underGunyah={underGunyah} />
        <dl>
          {chain.slot ? (
            <>
              <Field name={underGunyah ? 'Half' : 'Attribute'} id="attribute">
                <Half isPrivate={inspection?.attributePrivate ?? chain.attributePrivate} />
              </Field>
              <Field name="Kept by" id="attribute-owner">
                {underGunyah ? 'the hypervisor' : chain.slot.inPlace ? 'the guest_memfd' : 'the VM'}
              </Field>
              {!underGunyah && (
                <Field name="Guest declares" id="declared">
                  {inspection ? <Half isPrivate={inspection.declaredPrivate} /> : '…'}
                </Field>
              )}
              <Field name={underGunyah ? 'Binding flags' : 'Slot flags'} id="slot-flags">
                {rangeFlags(chain.slot.slot.flags, underGunyah).join(' ') || 'none'}
              </Field>
            </>
          ) : (
            <Field name={rangeName(underGunyah)} id="slot">
              none: an access is an MMIO exit
            </Field>
          )}
          <Field name="Readable by" id="readable-by">
            {inspection ? inspection.readableBy.join(', ') || 'nobody' : '…'}
          </Field>
        </dl>
      </Section>
      {inspection && <Bytes inspection={inspection} />}
      <Section title="Folio in use">
        {frame >= 0 ? (
          <>
            <FolioFields machine={machine} frame={frame} />
            {inspection && <Placement inspection={inspection} />}
          </>
        ) : (
          <p className="muted" data-field="pfn">
            None: nothing is allocated until somebody touches the page.
          </p>
        )}
      </Section>
      {inspection && (
        <>
          <Section title="Guest’s stage-2 walk">
            <Walk steps={inspection.stage2} id="stage2" empty="No table reaches this page." />
          </Section>
          <HostStage2 walk={inspection.hostStage2} hasFrame={inspection.pfn !== null} />
          {inspection.gmem && (
            <Section
              title={
                inspection.store === 'filemap'
                  ? 'filemap: the xarray of i_pages'
                  : `${underGunyah ? 'gh-gmem' : 'guest_memfd'}’s xarray`
              }
            >
              <XarrayPath
                index={inspection.gmem.index}
                steps={inspection.gmem.path}
                folio={inspection.gmem.pfn === null ? null : `folio, pfn ${hex(inspection.gmem.pfn)}`}
              />
            </Section>
          )}
        </>
      )}
    </>
  )
}
