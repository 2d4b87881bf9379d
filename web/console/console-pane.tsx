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

  useEffect(() => {
    if (machine) terminal.current?.clear()
  }, [machine])

  useEffect(() => {
    if (terminal.current) terminal.current.screenReader = screenReader
  }, [screenReader])

  useDrawer(() => {
    if (machine) terminal.current?.pump(() => machine.view.console.drain(FRAME_BYTES))
  })

  return (
    <Pane
      id="console"
      title="Console"
      note={
        <>
          serial line, ns16550a · <kbd>F6</kbd> leaves
        </>
      }
    >
      <div ref={container} className="console" data-testid="console" />
    </Pane>
  )
}
