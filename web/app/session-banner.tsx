// One line under the toolbar when the machine is not simply running: failed, dead, powered off.

import type { ReactNode } from 'react'
import { MachineState } from '../../core/machine/api.ts'
import { usePage, usePageState } from './page.ts'

/** A message of a layer below as a sentence of its own. */
const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

const Banner = ({
  kind,
  title,
  detail,
  children,
}: {
  kind: 'calm' | 'fault'
  title: string
  detail?: string
  children?: ReactNode
}) => (
  <div className="banner" data-kind={kind} data-testid="banner" role={kind === 'fault' ? 'alert' : 'status'}>
    <strong>{title}</strong>
    {detail && <span className="banner-detail">{detail}</span>}
    <span className="banner-actions">{children}</span>
  </div>
)

export const SessionBanner = () => {
  const { supervisor } = usePage()
  const session = usePageState((state) => state.session)
  const run = usePageState((state) => state.run)
  const stop = usePageState((state) => state.stop)
  const guest = usePageState((state) => state.guest)
  const restart = (
    <button type="button" className="button primary" data-testid="restart" onClick={() => supervisor.boot()}>
      Restart
    </button>
  )

  if (session.phase === 'failed') {
    const { smaller } = session
    return (
      <Banner kind="fault" title="No machine" detail={sentence(session.message)}>
        {smaller && (
          <button
            type="button"
            className="button primary"
            data-testid="smaller"
            onClick={() => supervisor.rebuild(smaller)}
          >
            Try {smaller.ramMiB} MiB
          </button>
        )}
        {guest ? (
          <button
            type="button"
            className="button primary"
            data-testid="built-in-guest"
            onClick={() => supervisor.bootGuest(null)}
          >
            Boot the built-in guest
          </button>
        ) : (
          restart
        )}
      </Banner>
    )
  }
  if (session.phase === 'dead') {
    return (
      <Banner
        kind="fault"
        title="The hypervisor worker is dead"
        detail={`${sentence(session.cause)}. What you see is the memory as it left it.`}
      >
        {restart}
      </Banner>
    )
  }
  if (run === MachineState.off || run === MachineState.failed) {
    return (
      <Banner
        kind={run === MachineState.off ? 'calm' : 'fault'}
        title={run === MachineState.off ? 'Powered off' : 'The machine failed'}
        detail={sentence(stop?.message ?? '')}
      >
        <button type="button" className="button primary" onClick={() => supervisor.reset()}>
          Reset
        </button>
      </Banner>
    )
  }
  return null
}
