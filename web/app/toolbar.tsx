// The toolbar: the machine's controls and its state.

import { MachineState } from '../../core/machine/api.ts'
import { hostName } from '../host-settings/host-name.ts'
import { hotkeyLabel } from './hotkeys.ts'
import { usePage, usePageState } from './page.ts'

const STATE_NAMES: Readonly<Record<number, string>> = {
  [MachineState.empty]: 'Empty',
  [MachineState.paused]: 'Paused',
  [MachineState.running]: 'Running',
  [MachineState.off]: 'Powered off',
  [MachineState.failed]: 'Failed',
}

/** Milliseconds per kernel step that the slider offers; 0 is full speed. */
const SPEEDS = [0, 20, 100, 300, 1_000] as const
const VCPUS = [1, 2, 3, 4, 5, 6, 7, 8] as const
const RAM_MIB = [32, 64, 128, 256, 512, 1_024, 2_048] as const

const useBadge = (): { text: string; kind: string } => {
  const session = usePageState((state) => state.session)
  const run = usePageState((state) => state.run)
  const pausing = usePageState((state) => state.pausing)
  if (session.phase === 'starting') return { text: 'Starting', kind: 'busy' }
  if (session.phase === 'failed') return { text: 'No machine', kind: 'fault' }
  if (session.phase === 'dead') return { text: 'Dead', kind: 'fault' }
  if (pausing && run === MachineState.running) return { text: 'Pausing', kind: 'busy' }
  const kind = run === MachineState.running ? 'running' : run === MachineState.failed ? 'fault' : 'still'
  return { text: STATE_NAMES[run] ?? 'Unknown', kind }
}

const SpeedSlider = () => {
  const { supervisor } = usePage()
  const slowMs = usePageState((state) => state.slowMs)
  const isLive = usePageState((state) => state.session.phase === 'live')
  const at = Math.max(0, SPEEDS.indexOf(slowMs as (typeof SPEEDS)[number]))
  const text = slowMs ? (slowMs >= 1_000 ? '1 s a step' : `${slowMs} ms a step`) : 'full speed'
  return (
    <label className="control" title={`Slow motion of kernel paths (${hotkeyLabel('S')})`}>
      <span className="control-name">Kernel</span>
      <input
        type="range"
        data-testid="slow-motion"
        min={0}
        max={SPEEDS.length - 1}
        value={at}
        disabled={!isLive}
        aria-label="Slow motion of kernel paths"
        aria-valuetext={text}
        onChange={(event) => void supervisor.setSlow(SPEEDS[Number(event.target.value)])}
      />
      <output className="control-value">{text}</output>
    </label>
  )
}

const Choice = ({
  name,
  title,
  id,
  value,
  options,
  label,
  onChange,
}: {
  name: string
  title: string
  id: string
  value: number
  options: readonly number[]
  label: (value: number) => string
  onChange: (value: number) => void
}) => (
  <select
    data-testid={id}
    aria-label={name}
    title={title}
    value={value}
    onChange={(event) => onChange(Number(event.target.value))}
  >
    {options.map((option) => (
      <option key={option} value={option}>
        {label(option)}
      </option>
    ))}
  </select>
)

const Policy = () => {
  const { supervisor } = usePage()
  const policy = usePageState((state) => state.policy)
  const isLive = usePageState((state) => state.session.phase === 'live')
  return (
    <fieldset className="control segmented" title="What the VMM answers when the guest asks for a conversion">
      <legend className="visually-hidden">Conversion policy</legend>
      <span className="control-name" aria-hidden="true">
        Conversions
      </span>
      {(['accept', 'refuse'] as const).map((choice) => (
        <button
          type="button"
          key={choice}
          data-testid={`policy-${choice}`}
          aria-pressed={policy === choice}
          disabled={!isLive}
          onClick={() => void supervisor.setPolicy(choice)}
        >
          {choice}
        </button>
      ))}
    </fieldset>
  )
}

const THEME_NAMES = { system: 'auto', dark: 'dark', light: 'light' } as const

export const Toolbar = () => {
  const { store, supervisor, theme } = usePage()
  const badge = useBadge()
  const session = usePageState((state) => state.session)
  const run = usePageState((state) => state.run)
  const settings = usePageState((state) => state.settings)
  const guest = usePageState((state) => state.guest)
  const themeChoice = usePageState((state) => state.theme)
  const isRunning = run === MachineState.running
  const isLive = session.phase === 'live'
  return (
    <header className="toolbar">
      <h1 className="brand">gmemscope</h1>
      <span className="badge" data-kind={badge.kind} data-testid="state" role="status">
        {badge.text}
      </span>
      <div className="control">
        <button
          type="button"
          className="button"
          data-testid="run-pause"
          disabled={!isLive || run >= MachineState.off}
          title={`${isRunning ? 'Pause' : 'Run'} (${hotkeyLabel('R')})`}
          onClick={() => void (isRunning ? supervisor.pause() : supervisor.run())}
        >
          {isRunning ? 'Pause' : 'Run'}
        </button>
        <button
          type="button"
          className="button"
          data-testid="reset"
          title={`The machine from power-on (${hotkeyLabel('Shift+R')})`}
          onClick={() => void supervisor.reset()}
        >
          Reset
        </button>
      </div>
      <SpeedSlider />
      <div className="control">
        <span className="control-name">Guest</span>
        <button
          type="button"
          className="button guest-choice"
          data-testid="guest-settings"
          aria-haspopup="dialog"
          title={`${guest?.name ?? 'guest monitor'}: another guest (${hotkeyLabel('G')})`}
          onClick={() => store.setState({ guestOpen: true })}
        >
          {guest?.name ?? 'monitor'}
        </button>
        <Choice
          name="vCPUs"
          id="vcpus"
          title="vCPUs: builds a new machine"
          value={settings.vcpus}
          options={VCPUS}
          label={(count) => `${count} ${count === 1 ? 'vCPU' : 'vCPUs'}`}
          onChange={(vcpus) => void supervisor.rebuild({ vcpus })}
        />
        <Choice
          name="RAM"
          id="ram"
          title="Guest RAM: builds a new machine"
          value={settings.ramMiB}
          options={RAM_MIB}
          label={(mib) => (mib >= 1_024 ? `${mib / 1_024} GiB` : `${mib} MiB`)}
          onChange={(ramMiB) => void supervisor.rebuild({ ramMiB })}
        />
      </div>
      <div className="control host-control">
        <span className="control-name">Host</span>
        <button
          type="button"
          className="button host-choice"
          data-testid="host-settings"
          aria-haspopup="dialog"
          title={`${hostName(settings.host)}: another Linux, folio store, folio size, NUMA (${hotkeyLabel('H')})`}
          onClick={() => store.setState({ hostOpen: 'settings' })}
        >
          {hostName(settings.host)}
        </button>
      </div>
      <Policy />
      <span className="spacer" />
      <button
        type="button"
        className="button quiet"
        data-testid="theme"
        aria-label={`Theme: ${THEME_NAMES[themeChoice]}`}
        title={`Theme (${hotkeyLabel('T')})`}
        onClick={() => theme.next()}
      >
        <span className="control-name">Theme: </span>
        {THEME_NAMES[themeChoice]}
      </button>
      <button
        type="button"
        className="button quiet"
        data-testid="open-palette"
        title="Command palette"
        aria-label="Command palette"
        onClick={() => store.setState({ paletteOpen: true })}
      >
        <kbd>{hotkeyLabel('Mod+K')}</kbd>
      </button>
    </header>
  )
}
