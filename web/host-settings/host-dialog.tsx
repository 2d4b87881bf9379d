// The host's settings: Linux version, folio store, large folios, NUMA nodes. A host's boot fixes them, so another
// choice is another machine.

import { useEffect, useRef, useState } from 'react'
import {
  type HostChoice,
  type LinuxVersion,
  linuxVersions,
  storeKinds,
  versionTable,
} from '../../core/machine/host-choice.ts'
import { usePage, usePageState } from '../app/page.ts'
import { Choice, Setting } from '../app/setting.tsx'
import { hostName, sameHost, versionName } from './host-name.ts'
import { answersAlike } from './version-spans.ts'
import { VersionTable } from './version-table.tsx'
import './host-settings.css'

const ProjectOwn = () => (
  <span className="tag" title="Not in upstream Linux: an option of this project’s kvm.ko">
    project-own
  </span>
)

const Settings = ({ close }: { close: () => void }) => {
  const { supervisor } = usePage()
  const running = usePageState((state) => state.settings.host)
  const [draft, setDraft] = useState<HostChoice>(running)
  const change = (part: Partial<HostChoice>): void => setDraft((old) => ({ ...old, ...part }))
  const isSame = sameHost(draft, running)
  const differing = versionTable.filter((row) => !answersAlike(row, draft.version, running.version)).length
  return (
    <>
      <header className="dialog-head">
        <h2 id="host-title">Host</h2>
        <p className="muted">
          What the machine’s host runs. Fixed while it runs, as a kernel’s boot fixes it.
        </p>
        <button type="button" className="button quiet" data-testid="host-close" onClick={close}>
          Close
        </button>
      </header>
      <div className="settings">
        <Setting
          name="Linux"
          hint={
            differing
              ? `${differing} of ${versionTable.length} behaviours differ from ${versionName(running.version)}.`
              : 'The host profile: how KVM and guest_memfd answer.'
          }
        >
          <select
            data-testid="linux-version"
            aria-label="Linux version"
            value={draft.version}
            onChange={({ target }) => change({ version: target.value as LinuxVersion })}
          >
            {linuxVersions.map((version) => (
              <option key={version} value={version}>
                {versionName(version)}
              </option>
            ))}
          </select>
        </Setting>
        <Setting
          name="Folio store"
          hint={
            draft.gmemStore === 'filemap'
              ? 'As Linux: the page cache’s filemap, with LRU batches and passing references.'
              : 'Project-own: folios straight in an xarray, no LRU, no passing references.'
          }
        >
          <Choice
            id="store"
            options={storeKinds}
            value={draft.gmemStore}
            onChange={(gmemStore) => change({ gmemStore })}
          />
        </Setting>
        <Setting
          name="Large folios"
          hint={
            <>
              <ProjectOwn /> 2 MiB where a range allows it; split by conversions and holes.
            </>
          }
        >
          <label className="check">
            <input
              type="checkbox"
              data-testid="large-folios"
              checked={draft.gmemLargeFolios}
              onChange={({ target }) => change({ gmemLargeFolios: target.checked })}
            />{' '}
            2 MiB folios
          </label>
        </Setting>
        <Setting name="NUMA nodes" hint="Two: each has half of the host’s memory, and policies pick a node.">
          <Choice
            id="nodes"
            options={[1, 2] as const}
            value={draft.nodes}
            onChange={(nodes) => change({ nodes })}
          />
        </Setting>
      </div>
      <VersionTable
        chosen={draft.version}
        running={running.version}
        onChoose={(version) => change({ version })}
      />
      <footer className="dialog-foot">
        <p data-testid="host-consequence" role="status">
          {isSame
            ? `Running on ${hostName(running)}.`
            : `A new machine boots on ${hostName(draft)}; the guest that runs now is lost.`}
        </p>
        <button
          type="button"
          className="button primary"
          data-testid="host-apply"
          disabled={isSame}
          onClick={() => {
            close()
            void supervisor.rebuild({ host: draft })
          }}
        >
          Restart with it
        </button>
      </footer>
    </>
  )
}

export const HostDialog = () => {
  const { store } = usePage()
  const isOpen = usePageState((state) => state.hostOpen)
  const dialog = useRef<HTMLDialogElement>(null)
  const close = (): void => store.setState({ hostOpen: null })

  useEffect(() => {
    const node = dialog.current
    if (!node) return
    if (!isOpen) return node.close()
    node.showModal()
    const part = isOpen === 'versions' ? '[data-pane-focus]' : 'select'
    node.querySelector<HTMLElement>(part)?.focus()
  }, [isOpen])

  return (
    <dialog
      ref={dialog}
      className="host-dialog"
      data-testid="host-dialog"
      aria-labelledby="host-title"
      onClose={close}
      onPointerDown={(event) => {
        // The backdrop is the dialog's own: its content covers all of its box.
        if (event.target === event.currentTarget) close()
      }}
    >
      {isOpen && <Settings close={close} />}
    </dialog>
  )
}
