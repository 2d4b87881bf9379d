// What a pane shows while there is no machine: the step under way, or that there is none.

import { usePageState } from './page.ts'

export const NoMachine = () => {
  const session = usePageState((state) => state.session)
  const isStarting = session.phase === 'starting'
  return (
    <p className="empty muted" data-testid="no-machine" role="status">
      {isStarting ? `${session.step} …` : 'No machine.'}
    </p>
  )
}
