// The terminal's colours, from the page's own.

import type { ITheme } from '@xterm/xterm'

export const terminalTheme = (): ITheme => {
  const style = getComputedStyle(document.documentElement)
  const read = (name: string): string => style.getPropertyValue(name).trim()
  return {
    background: read('--surface'),
    foreground: read('--text'),
    cursor: read('--ink'),
    cursorAccent: read('--surface'),
    selectionBackground: read('--select'),
    blue: read('--private'),
    yellow: read('--shared'),
    magenta: read('--fault'),
    brightBlack: read('--muted'),
  }
}
