// What is wrong with a file that should have been loaded into a guest.

/** A kernel image is malformed or not for this machine. */
export class LoadError extends Error {
  /** The field at fault as its specification names it, e.g. `e_machine` or `program header 2: p_filesz`. */
  readonly field: string
  /** Byte offset of that field in the file. */
  readonly offset: number

  constructor(field: string, offset: number, detail: string) {
    super(`${field} (offset 0x${offset.toString(16)}): ${detail}`)
    this.name = 'LoadError'
    this.field = field
    this.offset = offset
  }
}
