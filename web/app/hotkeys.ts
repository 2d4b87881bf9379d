// Hotkeys: plain keys work outside of text fields and the console, chords and F6 everywhere.

import { useEffect } from 'react'
import { type Command, commands } from './commands.ts'
import { usePage } from './page.ts'

const isMac = /Mac|iPhone|iPad/.test(navigator.platform)

/** A hotkey as this platform writes it. */
export const hotkeyLabel = (hotkey: string): string =>
  hotkey
    .replace('Mod+', isMac ? '⌘' : 'Ctrl ')
    .replace('Shift+', isMac ? '⇧' : 'Shift ')
    .replace('Escape', 'Esc')

const pressed = (event: KeyboardEvent): string => {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key
  const mod = isMac ? event.metaKey : event.ctrlKey
  return `${mod ? 'Mod+' : ''}${event.shiftKey ? 'Shift+' : ''}${key}`
}

/** True for chords that are the page's even while the console or a text field has the focus. */
const isGlobal = (hotkey: string): boolean => hotkey.startsWith('Mod+') || hotkey.endsWith('F6')

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))

export const commandOf = (event: KeyboardEvent): Command | null => {
  const isOther = isMac ? event.ctrlKey : event.metaKey
  if (isOther || event.altKey) return null
  const hotkey = pressed(event)
  const command = commands.find((c) => c.hotkey === hotkey)
  if (!command?.hotkey) return null
  return !typing(event.target) || isGlobal(command.hotkey) ? command : null
}

export const useHotkeys = (): void => {
  const page = usePage()
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const command = commandOf(event)
      if (!command) return
      const { paletteOpen, hostOpen, guestOpen } = page.store.getState()
      if (hostOpen || guestOpen) return
      if (paletteOpen && command.id !== 'palette') return
      if (command.when && !command.when(page)) return
      event.preventDefault()
      event.stopPropagation()
      command.run(page)
    }
    // Capture: the console would otherwise swallow the chords.
    window.addEventListener('keydown', onKey, true)
    return () => window.removeEventListener('keydown', onKey, true)
  }, [page])
}
