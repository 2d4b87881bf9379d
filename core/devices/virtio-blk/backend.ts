// What is behind a block device: a disk's bytes, read and written at once.

/** Ranges are within the size, in bytes. What fails throws an Error that says why, for a person. */
export interface BlockBackend {
  /** Bytes, a multiple of 512. */
  readonly size: number
  read(offset: number, into: Uint8Array): void
  write(offset: number, bytes: Uint8Array): void
  /** Returns when everything written is kept. */
  flush(): void
}
