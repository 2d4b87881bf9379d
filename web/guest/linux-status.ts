// How far Debian's Linux is, as the page's server says, and which files the person gave.

/** Of the server's. */
export type LinuxStatus =
  | { readonly state: 'asking' }
  /** This page's server fetches nothing: a static host. */
  | { readonly state: 'absent' }
  /** `fraction`: 0 to 1. */
  | { readonly state: 'fetching'; readonly step: string; readonly fraction: number }
  | { readonly state: 'ready'; readonly release: string; readonly bytes: number }
  | { readonly state: 'unavailable'; readonly reason: string; readonly remedy: string }

export type FileRole = 'kernel' | 'initrd'

/** A file that the person gave. */
export interface ProvidedFile {
  readonly name: string
  /** What it is, in a few words. */
  readonly kind: string
  readonly bytes: number
  /** It will be there the next time. */
  readonly kept: boolean
}

export type Provided = Readonly<Partial<Record<FileRole, ProvidedFile>>>

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const number = (value: unknown): number => (typeof value === 'number' && value >= 0 ? value : 0)

/** The answer of /linux/status; what is none of ours means that there is no such server. */
export const readStatus = (answer: unknown): LinuxStatus => {
  const fields = (typeof answer === 'object' && answer ? answer : {}) as Record<string, unknown>
  switch (fields.state) {
    case 'fetching':
      return { state: 'fetching', step: text(fields.step), fraction: Math.min(1, number(fields.fraction)) }
    case 'ready':
      return {
        state: 'ready',
        release: text(fields.release),
        bytes: number(fields.kernelBytes) + number(fields.initrdBytes),
      }
    case 'unavailable':
      return { state: 'unavailable', reason: text(fields.reason), remedy: text(fields.remedy) }
    default:
      return { state: 'absent' }
  }
}

/** Linux can be booted now. */
export const canBoot = (status: LinuxStatus, provided: Provided): boolean =>
  provided.kernel !== undefined || status.state === 'ready'

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
