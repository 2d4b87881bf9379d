// A page's bytes as the guest and the host get them, and the host's own stage 2: where two hypervisors differ most.

import type { HostResult, PageInspection, WalkStep } from '../../core/machine/api.ts'
import { explain, failureName } from '../host-panel/explain.ts'
import { Section, Walk } from './field.tsx'
import { hexdump } from './hexdump.ts'

/** What a load of the host's gave: bytes, or the error it met. */
const Loaded = ({ result, id }: { result: HostResult<Uint8Array>; id: string }) =>
  result.kind === 'ok' ? (
    <pre className="dump" data-field={id}>
      {hexdump(result.value)}
    </pre>
  ) : (
    <p data-field={id} data-fault="true">
      <strong>{failureName(result)}</strong> {explain('read', result)}
    </p>
  )

export const Bytes = ({ inspection }: { inspection: PageInspection }) => {
  const { guestBytes, hostBytes, physicalBytes } = inspection
  return (
    <>
      <Section title="As the guest sees it">
        {guestBytes ? (
          <pre className="dump" data-field="guest-bytes">
            {hexdump(guestBytes)}
          </pre>
        ) : (
          <p className="muted" data-field="guest-bytes">
            {inspection.poisoned
              ? 'Its touch fails with EHWPOISON: the frame is poisoned.'
              : 'Its touch would fault: no stage-2 entry yet.'}
          </p>
        )}
      </Section>
      <Section title="As the VMM sees it, through its mapping">
        {hostBytes ? (
          <Loaded result={hostBytes} id="host-bytes" />
        ) : (
          <p className="muted" data-field="host-bytes">
            Not loaded: that would take the page from the guest. Read in the host panel does.
          </p>
        )}
      </Section>
      <Section title="As the host sees the frame, through /dev/mem">
        {physicalBytes ? (
          <Loaded result={physicalBytes} id="physical-bytes" />
        ) : (
          <p className="muted" data-field="physical-bytes">
            No frame yet.
          </p>
        )}
      </Section>
    </>
  )
}

const isValid = ({ entry }: WalkStep): boolean => (Number.parseInt(entry.slice(-1), 16) & 1) === 1

/** The host's stage 2, at the frame: what a hypervisor below the host has and KVM has not. */
export const HostStage2 = ({ walk, hasFrame }: { walk: readonly WalkStep[] | null; hasFrame: boolean }) => (
  <Section title="Host’s stage 2">
    {walk === null ? (
      <p className="muted" data-field="host-stage2">
        None: KVM runs in the host’s kernel, and the host reaches every frame. Only its own page tables keep
        the VMM from a private page.
      </p>
    ) : (
      <>
        <Walk steps={walk} id="host-stage2" empty="No frame yet." />
        {hasFrame && (
          <p className="muted" data-field="host-reaches">
            {walk.every(isValid)
              ? 'The host reaches the frame.'
              : 'The host does not reach the frame: it is lent to the guest.'}
          </p>
        )}
      </>
    )}
  </Section>
)
