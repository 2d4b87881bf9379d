// Why Debian's Linux cannot be had here, and what to do.

export class LinuxUnavailable extends Error {
  /** What the person can do about it: a sentence. */
  readonly remedy: string

  constructor(cause: string, remedy: string) {
    super(cause)
    this.name = 'LinuxUnavailable'
    this.remedy = remedy
  }
}
