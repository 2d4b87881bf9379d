// The console pane: the guest's serial line.

import '@xterm/xterm/css/xterm.css'
import { useEffect, useRef } from 'react'
import { commandOf } from '../app/hotkeys.ts'
import { useDrawer, useMachine, usePage, usePageState } from '../app/page.ts'
import { Pane } from '../app/pane.tsx'
import { SerialTerminal } from './terminal.ts'
import { terminalTheme } from './terminal-theme.ts'
import './console.css'

/** Bytes taken from the UART's ring a frame at most. */
const FRAME_BYTES = 1 << 18

export const ConsolePane = () => {
  const { supervisor, theme } = usePage()
  const machine = useMachine()
  const resets = usePageState((state) => state.resets)
  const screenReader = usePageState((state) => state.screenReader)
  const container = useRef<HTMLDivElement>(null)
  const terminal = useRef<SerialTerminal | null>(null)

  useEffect(() => {
    const parent = container.current
    if (!parent) return
    const font = getComputedStyle(document.documentElement).getPropertyValue('--mono')
    const made = new SerialTerminal(
      (bytes) => supervisor.api.consoleInput(bytes),
      (event) => commandOf(event) !== null,
      font,
    )
    terminal.current = made
    made.theme = terminalTheme()
    made.open(parent)
    made.fit()
    const observer = new ResizeObserver(() => made.fit())
    observer.observe(parent)
    const forget = theme.onChange(() => {
      made.theme = terminalTheme()
    })
    return () => {
      observer.disconnect()
      forget()
      made.dispose()
      terminal.current = null
    }
  }, [supervisor, theme])

  // biome-ignore lint/correctness/useExhaustiveDependencies: no machine, another one, or the same from power-on: a clear console
  useEffect(() => {
    terminal.current?.clear()
  }, [machine, resets])

  useEffect(() => {
    if (terminal.current) terminal.current.screenReader = screenReader
  }, [screenReader])

  useDrawer(() => {
    if (machine) terminal.current?.pump(() => machine.view.console.drain(FRAME_BYTES))
  })

  const copy = (): void => {
    const text = terminal.current?.text ?? ''
    navigator.clipboard.writeText(text).catch(() => {
      const detail = 'The browser refused the page its clipboard; select the text and copy it by hand.'
      supervisor.notify({ severity: 'warning', title: 'Not copied', detail })
    })
  }

  return (
    <Pane
      id="console"
      title="Console"
      note={
        <>
          serial line, ns16550a · <kbd>F6</kbd> leaves
        </>
      }
      tools={
        <button
          type="button"
          className="button quiet"
          data-testid="copy-console"
          title="Copies all the text that the terminal still holds"
          onClick={copy}
        >
          Copy
        </button>
      }
    >
      <div ref={container} className="console" data-testid="console" />
    </Pane>
  )
}
