// What the person chose for a Linux guest, and what is offered.

import { LINUX_COMMAND_LINE, LINUX_RAM_MIB } from '../../core/machine/linux-guest.ts'

export interface LinuxSettings {
  readonly vcpus: number
  readonly ramMiB: number
  /** RAM starts private. */
  readonly private: boolean
  /** Kernel command line. */
  readonly append: string
}

export const LINUX_VCPUS = [1, 2, 4] as const
export const LINUX_RAM = [128, 256, 512, 1_024, 2_048] as const

export const defaultLinux: LinuxSettings = {
  vcpus: 1,
  ramMiB: LINUX_RAM_MIB,
  private: true,
  append: LINUX_COMMAND_LINE,
}

/** What `saved` (from the browser's storage, so anything) says, with the default for what it does not. */
export const recallLinux = (saved: unknown): LinuxSettings => {
  const fields: Partial<Record<keyof LinuxSettings, unknown>> =
    typeof saved === 'object' && saved ? saved : {}
  return {
    vcpus: LINUX_VCPUS.find((count) => count === fields.vcpus) ?? defaultLinux.vcpus,
    ramMiB: LINUX_RAM.find((mib) => mib === fields.ramMiB) ?? defaultLinux.ramMiB,
    private: typeof fields.private === 'boolean' ? fields.private : defaultLinux.private,
    append: typeof fields.append === 'string' ? fields.append : defaultLinux.append,
  }
}
