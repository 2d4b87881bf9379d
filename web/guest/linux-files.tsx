// Debian's Linux in the guest dialog: how far it is, and the person's own files instead.

import { useRef, useState } from 'react'
import { usePage, usePageState } from '../app/page.ts'
import { type FileRole, mebibytes, type ProvidedFile } from './linux-status.ts'

const ROLE_NAMES: Readonly<Record<FileRole, string>> = {
  kernel: 'Kernel (Image or ELF)',
  initrd: 'Initial RAM disk',
}

/** What the page's server has. */
const ServerPart = () => {
  const { linux } = usePage()
  const status = usePageState((state) => state.linux)
  switch (status.state) {
    case 'asking':
      return <p className="muted">Asking the page’s server …</p>
    case 'absent':
      return (
        <p data-testid="linux-state" data-state="absent">
          This page’s server does not fetch Linux; <code>npm start</code>, from a clone of the repository,
          does. Provide a RISC-V kernel and an initial RAM disk below: drop them here or choose them.
        </p>
      )
    case 'fetching':
      return (
        <div data-testid="linux-state" data-state="fetching">
          <p>
            {status.step} <span className="muted">({Math.floor(status.fraction * 100)} %)</span>
          </p>
          <progress value={status.fraction} max={1} aria-label="Fetching Debian’s Linux" />
          <p className="muted">
            Signed packages from Debian, 113 MB, once. The page works meanwhile, and may be closed.
          </p>
        </div>
      )
    case 'ready':
      return (
        <p data-testid="linux-state" data-state="ready">
          Linux {status.release} with busybox, from Debian’s packages{' '}
          <span className="muted">({mebibytes(status.bytes)})</span>
        </p>
      )
    case 'unavailable':
      return (
        <div className="linux-unavailable" data-testid="linux-state" data-state="unavailable" role="status">
          <p data-fault="true">{status.reason}</p>
          <p>{status.remedy}</p>
          <button type="button" className="button" data-testid="linux-retry" onClick={() => linux.retry()}>
            Try again
          </button>
        </div>
      )
  }
}

const Slot = ({
  role,
  file,
  onFile,
}: {
  role: FileRole
  file: ProvidedFile | undefined
  onFile: (file: File, role: FileRole) => void
}) => {
  const input = useRef<HTMLInputElement>(null)
  return (
    <div className="file-slot" data-testid={`slot-${role}`}>
      <span className="control-name">{ROLE_NAMES[role]}</span>
      <span className="file-name">
        {file ? (
          <>
            {file.name}{' '}
            <span className="muted">
              {file.kind}, {mebibytes(file.bytes)}
              {!file.kept && ', until the page closes'}
            </span>
          </>
        ) : (
          <span className="muted">none given</span>
        )}
      </span>
      <button type="button" className="button" onClick={() => input.current?.click()}>
        Choose …
      </button>
      <input
        ref={input}
        type="file"
        className="visually-hidden"
        tabIndex={-1}
        aria-label={ROLE_NAMES[role]}
        data-testid={`file-${role}`}
        onChange={({ target }) => {
          const chosen = target.files?.[0]
          target.value = ''
          if (chosen) onFile(chosen, role)
        }}
      />
    </div>
  )
}

export const LinuxFiles = () => {
  const { linux } = usePage()
  const provided = usePageState((state) => state.provided)
  const [complaint, setComplaint] = useState<string | null>(null)
  const [over, setOver] = useState(false)
  const take = async (files: readonly File[], role?: FileRole): Promise<void> => {
    setComplaint(null)
    for (const file of files)
      try {
        await linux.provide(file, role)
      } catch (error) {
        setComplaint(`${file.name}: ${error instanceof Error ? error.message : String(error)}`)
      }
  }
  const isOwn = provided.kernel !== undefined || provided.initrd !== undefined
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a shortcut for the two buttons
    <div
      className="linux-files"
      data-over={over}
      data-testid="linux-files"
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        void take([...event.dataTransfer.files])
      }}
    >
      {!provided.kernel && <ServerPart />}
      {(['kernel', 'initrd'] as const).map((role) => (
        <Slot key={role} role={role} file={provided[role]} onFile={(file, as) => void take([file], as)} />
      ))}
      {complaint && (
        <p data-fault="true" data-testid="file-complaint" role="alert">
          {complaint}
        </p>
      )}
      {isOwn && (
        <p>
          <button
            type="button"
            className="button"
            data-testid="forget-files"
            onClick={() => void linux.forget()}
          >
            Forget these files
          </button>{' '}
          <span className="muted">They are kept in this browser, and go nowhere else.</span>
        </p>
      )}
    </div>
  )
}
