// The command palette (Ctrl or Cmd K): all commands, and any guest address typed into it.

import { Command as Cmdk } from 'cmdk'
import { useState } from 'react'
import { addressCommand, type Command, commands } from './commands.ts'
import { hotkeyLabel } from './hotkeys.ts'
import { usePage, usePageState } from './page.ts'

const groups = ['Machine', 'Memory', 'View', 'Go to'] as const

export const Palette = () => {
  const page = usePage()
  const open = usePageState((state) => state.paletteOpen)
  const [text, setText] = useState('')
  const setOpen = (paletteOpen: boolean): void => {
    page.store.setState({ paletteOpen })
    if (!paletteOpen) setText('')
  }
  const pick = (command: Command): void => {
    setOpen(false)
    // After the dialog gave the focus back, so that a command may move it.
    setTimeout(() => command.run(page))
  }
  const item = (command: Command) => (
    <Cmdk.Item key={command.id} value={`${command.title} ${command.group}`} onSelect={() => pick(command)}>
      <span>{command.title}</span>
      {command.hotkey && <kbd>{hotkeyLabel(command.hotkey)}</kbd>}
    </Cmdk.Item>
  )
  const address = addressCommand(text)
  const offered = commands.filter((c) => c.id !== 'palette' && (!c.when || c.when(page)))
  return (
    <Cmdk.Dialog
      open={open}
      onOpenChange={setOpen}
      label="Command palette"
      loop
      // An address is not text to match against titles.
      filter={(value, search) =>
        address ? (value === 'address' ? 1 : 0) : value.toLowerCase().includes(search.toLowerCase()) ? 1 : 0
      }
    >
      <Cmdk.Input value={text} onValueChange={setText} placeholder="A command, or a guest physical address" />
      <Cmdk.List>
        <Cmdk.Empty>No command is called that.</Cmdk.Empty>
        {address && (
          <Cmdk.Item value="address" onSelect={() => pick(address)}>
            <span>{address.title}</span>
            <span className="muted">guest page</span>
          </Cmdk.Item>
        )}
        {groups.map((group) => {
          const members = offered.filter((c) => c.group === group)
          return (
            members.length > 0 && (
              <Cmdk.Group key={group} heading={group}>
                {members.map(item)}
              </Cmdk.Group>
            )
          )
        })}
      </Cmdk.List>
    </Cmdk.Dialog>
  )
}
