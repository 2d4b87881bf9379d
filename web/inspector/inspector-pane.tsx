// The inspector: all there is to know about the selected page, as the kernel, the guest and the host see it.

import { hotkeyLabel } from '../app/hotkeys.ts'
import { useMachine, usePage, usePageState, useSampled } from '../app/page.ts'
import { Pane } from '../app/pane.tsx'
import { ScrollArea } from '../app/scroll-area.tsx'
import { resolveChain } from '../model/chain.ts'
import { FrameView } from './frame-view.tsx'
import { GuestPageView } from './guest-page-view.tsx'
import './inspector.css'

const REFRESH_MS = 150

export const InspectorPane = () => {
  const { store } = usePage()
  const machine = useMachine()
  const selection = usePageState((state) => state.selection)
  useSampled(REFRESH_MS)
  const chain = machine ? resolveChain(machine.sampler, selection) : null
  return (
    <Pane
      id="inspector"
      title="Inspector"
      tools={
        selection && (
          <button
            type="button"
            className="button quiet"
            title="Clear the selection (Esc)"
            onClick={() => store.setState({ selection: null })}
          >
            Clear
          </button>
        )
      }
    >
      <ScrollArea label="Selected page" className="inspector">
        {machine && chain?.gfn != null ? (
          <GuestPageView machine={machine} chain={chain} gfn={chain.gfn} />
        ) : machine && chain && chain.pfn >= 0 ? (
          <FrameView machine={machine} frame={chain.pfn} />
        ) : (
          <div className="empty">
            <p>No page is selected.</p>
            <p className="muted">
              Click a page in any map, or press <kbd>{hotkeyLabel('Mod+K')}</kbd> and type an address.
            </p>
          </div>
        )}
      </ScrollArea>
    </Pane>
  )
}
