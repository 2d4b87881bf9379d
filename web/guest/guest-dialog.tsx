// The guest's dialog: what the machine boots, and for Linux how. Another guest is another machine.

import { useEffect, useRef, useState } from 'react'
import { usePage, usePageState } from '../app/page.ts'
import { Choice, Setting } from '../app/setting.tsx'
import { LITMUS_NAME, litmusGuest } from './guest.ts'
import { LinuxFiles } from './linux-files.tsx'
import { LINUX_RAM, LINUX_VCPUS, type LinuxSettings } from './linux-settings.ts'
import { canBoot } from './linux-status.ts'
import './guest.css'

type Kind = 'monitor' | 'litmus' | 'linux'

const KINDS: readonly { readonly kind: Kind; readonly name: string; readonly what: string }[] = [
  {
    kind: 'monitor',
    name: 'Guest monitor',
    what: 'A shell on the bare machine: share, unshare, touch, measure.',
  },
  {
    kind: 'litmus',
    name: 'Litmus tests',
    what: 'What two harts may see of each other’s memory. Wants 2 vCPUs.',
  },
  { kind: 'linux', name: 'Debian Linux', what: 'Debian’s own kernel, unchanged, with busybox and gmem.' },
]

const ramName = (mib: number): string => (mib >= 1_024 ? `${mib / 1_024} GiB` : `${mib} MiB`)

const LinuxPart = () => {
  const { store } = usePage()
  const settings = usePageState((state) => state.linuxSettings)
  const change = (part: Partial<LinuxSettings>): void =>
    store.setState(({ linuxSettings }) => ({ linuxSettings: { ...linuxSettings, ...part } }))
  return (
    <>
      <LinuxFiles />
      <div className="settings">
        <Setting name="vCPUs" hint="Each is a thread of its own.">
          <Choice
            id="linux-vcpus"
            options={LINUX_VCPUS}
            value={settings.vcpus}
            onChange={(vcpus) => change({ vcpus })}
          />
        </Setting>
        <Setting name="RAM" hint="Private RAM takes its size twice of host memory.">
          <select
            data-testid="linux-ram"
            aria-label="RAM"
            value={settings.ramMiB}
            onChange={({ target }) => change({ ramMiB: Number(target.value) })}
          >
            {LINUX_RAM.map((mib) => (
              <option key={mib} value={mib}>
                {ramName(mib)}
              </option>
            ))}
          </select>
        </Setting>
        <Setting
          name="Memory"
          hint={
            settings.private
              ? 'Private until the guest shares it: gmem share.'
              : 'Shared: the host sees everything.'
          }
        >
          <Choice
            id="linux-memory"
            options={['private', 'shared'] as const}
            value={settings.private ? 'private' : 'shared'}
            onChange={(memory) => change({ private: memory === 'private' })}
          />
        </Setting>
        <Setting name="Command line" hint="Of the kernel. Its console is ttyS0.">
          <input
            type="text"
            className="field mono"
            data-testid="linux-append"
            aria-label="Kernel command line"
            spellCheck={false}
            value={settings.append}
            onChange={({ target }) => change({ append: target.value })}
          />
        </Setting>
      </div>
    </>
  )
}

const Guests = ({ close }: { close: () => void }) => {
  const { supervisor, linux, store } = usePage()
  const running = usePageState((state) => state.guest)
  const status = usePageState((state) => state.linux)
  const provided = usePageState((state) => state.provided)
  const [kind, setKind] = useState<Kind>(
    running === null ? 'monitor' : running.name === LITMUS_NAME ? 'litmus' : 'linux',
  )
  const ready = kind !== 'linux' || canBoot(status, provided)
  const boot = (): void => {
    close()
    if (kind !== 'linux') void supervisor.bootGuest(kind === 'litmus' ? litmusGuest : null)
    else {
      const { linuxSettings } = store.getState()
      const { vcpus, ramMiB } = linuxSettings
      void supervisor.bootGuest(linux.guest(linuxSettings), { vcpus, ramMiB })
    }
  }
  return (
    <>
      <header className="dialog-head">
        <h2 id="guest-title">Guest</h2>
        <p className="muted">What the machine boots. Any other file: drop it on the page.</p>
        <button type="button" className="button quiet" data-testid="guest-close" onClick={close}>
          Close
        </button>
      </header>
      <div className="guest-kinds">
        {KINDS.map(({ kind: id, name, what }) => (
          <button
            type="button"
            key={id}
            className="guest-kind"
            data-testid={`guest-${id}`}
            aria-pressed={kind === id}
            onClick={() => setKind(id)}
          >
            <strong>{name}</strong>
            <span className="muted">{what}</span>
          </button>
        ))}
      </div>
      {kind === 'linux' && <LinuxPart />}
      <footer className="dialog-foot">
        <p role="status">
          {ready
            ? 'A new machine boots it; the guest that runs now is lost.'
            : 'Linux can be booted when its files are there.'}
        </p>
        <button
          type="button"
          className="button primary"
          data-testid="guest-boot"
          disabled={!ready}
          onClick={boot}
        >
          Boot
        </button>
      </footer>
    </>
  )
}

export const GuestDialog = () => {
  const { store } = usePage()
  const isOpen = usePageState((state) => state.guestOpen)
  const dialog = useRef<HTMLDialogElement>(null)
  const close = (): void => store.setState({ guestOpen: false })

  useEffect(() => {
    const node = dialog.current
    if (!node) return
    if (!isOpen) return node.close()
    node.showModal()
    node.querySelector<HTMLElement>('[aria-pressed="true"]')?.focus()
  }, [isOpen])

  return (
    <dialog
      ref={dialog}
      className="host-dialog guest-dialog"
      data-testid="guest-dialog"
      aria-labelledby="guest-title"
      onClose={close}
      onPointerDown={(event) => {
        // The backdrop is the dialog's own: its content covers all of its box.
        if (event.target === event.currentTarget) close()
      }}
    >
      {isOpen && <Guests close={close} />}
    </dialog>
  )
}
