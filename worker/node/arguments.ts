// The command line of `npm run -s headless`.

import { parseArgs } from 'node:util'
import {
  defaultHostChoice,
  type HostChoice,
  hypervisorKinds,
  linuxVersions,
  reclaimPolicies,
  storeKinds,
} from '../../core/machine/host-choice.ts'
import { LINUX_COMMAND_LINE, LINUX_RAM_MIB } from '../../core/machine/linux-guest.ts'

export interface HeadlessOptions {
  /** File name; null: Debian's kernel and our initial RAM disk. */
  readonly kernel: string | null
  readonly initrd: string | undefined
  readonly append: string
  /** Bytes of guest RAM. */
  readonly ramBytes: number
  readonly vcpus: number
  readonly private: boolean
  readonly host: HostChoice
  readonly until: RegExp | undefined
  /** Seconds; Infinity when not given. */
  readonly timeout: number
  readonly stats: boolean
  /** Path of a disk image. */
  readonly disk: string | undefined
  readonly virtioConsole: boolean
  readonly balloon: boolean
}

/** The command line is wrong; exit status 2. */
export class UsageError extends Error {}

export const USAGE = `usage: npm run -s headless -- (--kernel FILE | --linux) [options]

  --kernel FILE    the guest: a static RISC-V ELF, or a Linux Image
  --linux          the guest: Debian's kernel with busybox, fetched with apt the first time
  --initrd FILE    initial RAM disk
  --append TEXT    kernel command line (default with --linux: ${LINUX_COMMAND_LINE})
  --mem SIZE       guest RAM: 64M, 256M, 1G (default 128M, with --linux ${LINUX_RAM_MIB}M)
  --smp N          vCPUs, 1 to 8 (default 1)
  --private        guest RAM starts private: in a guest_memfd the host cannot map, or lent by Gunyah
  --hypervisor H   ${hypervisorKinds.join(' or ')} (default ${defaultHostChoice.hypervisor})
  --gunyah-reclaim POLICY
                   whether Gunyah lets the host take back what it lent to a running VM:
                   ${reclaimPolicies.join(' or ')} (default ${defaultHostChoice.gunyahReclaim})
  --host VERSION   Linux the host runs: ${linuxVersions.join(', ')} (default ${defaultHostChoice.version})
  --store KIND     what holds a guest_memfd's folios: ${storeKinds.join(' or ')} (default ${defaultHostChoice.gmemStore})
  --large-folios   guest_memfd uses 2 MiB folios (project-own)
  --nodes N        NUMA nodes of the host, 1 or 2 (default 1)
  --disk FILE      a virtio disk with this image; what the guest writes is gone at the end
  --virtio-console console on virtio instead of the serial port: the guest's hvc0
  --balloon        a virtio balloon, for memory that the guest gives back
  --until REGEX    end with status 0 when the console prints a match
  --timeout S      end with status 3 after S seconds
  --stats          JSON on standard error at the end

exit status: 0 clean power-off or --until matched, 1 the guest reported failure,
2 bad arguments or image, 3 time-out`

const MIB = 2 ** 20
const MAX_RAM = 2048 * MIB

const parseSize = (text: string): number => {
  const match = /^(\d+)([KMG]?)$/i.exec(text)
  if (!match) throw new UsageError(`--mem ${text}: a number with K, M or G, such as 256M`)
  const unit = { '': MIB, K: 1024, M: MIB, G: 1024 * MIB }[match[2].toUpperCase()] ?? MIB
  const bytes = Number(match[1]) * unit
  if (bytes < 4 * MIB || bytes > MAX_RAM || bytes % (2 * MIB) !== 0)
    throw new UsageError(`--mem ${text}: from 4M to 2G, a multiple of 2M`)
  return bytes
}

const parseRegex = (text: string): RegExp => {
  try {
    return new RegExp(text)
  } catch (error) {
    throw new UsageError(
      `--until ${text}: ${error instanceof Error ? error.message : 'not a regular expression'}`,
    )
  }
}

/** The value of an option that takes one of a few words. */
const parseWord = <T extends string>(option: string, text: string, words: readonly T[]): T => {
  const found = words.find((word) => word === text)
  if (found === undefined) throw new UsageError(`--${option} ${text}: one of ${words.join(', ')}`)
  return found
}

/** Parses process arguments (without node and script). Throws UsageError with a message for people. */
export const parseHeadlessArguments = (args: readonly string[]): HeadlessOptions => {
  let values: Partial<Record<string, string | boolean>>
  try {
    values = parseArgs({
      args: [...args],
      options: {
        kernel: { type: 'string' },
        linux: { type: 'boolean' },
        initrd: { type: 'string' },
        append: { type: 'string' },
        mem: { type: 'string' },
        smp: { type: 'string' },
        private: { type: 'boolean' },
        hypervisor: { type: 'string' },
        'gunyah-reclaim': { type: 'string' },
        host: { type: 'string' },
        store: { type: 'string' },
        'large-folios': { type: 'boolean' },
        nodes: { type: 'string' },
        until: { type: 'string' },
        timeout: { type: 'string' },
        stats: { type: 'boolean' },
        disk: { type: 'string' },
        'virtio-console': { type: 'boolean' },
        balloon: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  const text = (name: string): string | undefined => values[name] as string | undefined
  const linux = values.linux === true
  const kernel = text('kernel')
  if (!linux && kernel === undefined) throw new UsageError('--kernel is missing, or --linux')
  if (linux && (kernel ?? text('initrd')) !== undefined)
    throw new UsageError(
      '--linux brings its own kernel and initial RAM disk: no --kernel or --initrd with it',
    )
  const vcpus = Number(text('smp') ?? '1')
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > 8) throw new UsageError('--smp: a number from 1 to 8')
  const timeout = Number(text('timeout') ?? 'Infinity')
  if (!(timeout > 0)) throw new UsageError('--timeout: a number of seconds above 0')
  const until = text('until')
  return {
    kernel: kernel ?? null,
    initrd: text('initrd'),
    append: text('append') ?? (linux ? LINUX_COMMAND_LINE : ''),
    ramBytes: parseSize(text('mem') ?? (linux ? `${LINUX_RAM_MIB}M` : '128M')),
    vcpus,
    private: values.private === true,
    host: {
      hypervisor: parseWord(
        'hypervisor',
        text('hypervisor') ?? defaultHostChoice.hypervisor,
        hypervisorKinds,
      ),
      gunyahReclaim: parseWord(
        'gunyah-reclaim',
        text('gunyah-reclaim') ?? defaultHostChoice.gunyahReclaim,
        reclaimPolicies,
      ),
      version: parseWord('host', text('host') ?? defaultHostChoice.version, linuxVersions),
      gmemStore: parseWord('store', text('store') ?? defaultHostChoice.gmemStore, storeKinds),
      gmemLargeFolios: values['large-folios'] === true,
      nodes: parseWord('nodes', text('nodes') ?? '1', ['1', '2']) === '2' ? 2 : 1,
    },
    until: until === undefined ? undefined : parseRegex(until),
    timeout,
    stats: values.stats === true,
    disk: text('disk'),
    virtioConsole: values['virtio-console'] === true,
    balloon: values.balloon === true,
  }
}
