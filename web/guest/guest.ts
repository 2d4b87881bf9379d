// What a machine boots, and where its files come from.

/** A guest's files, as bytes. */
export interface GuestFiles {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
}

/** Tells the person what is being waited for. */
export type Step = (text: string) => void

export interface Guest {
  readonly name: string
  /** Kernel command line. */
  readonly append: string
  /** Guest RAM starts private. */
  readonly private: boolean
  load(step: Step): Promise<GuestFiles>
}

/** Bytes of a file of the page's server; `what` names it in an error. */
export const fetchBytes = async (url: URL, what: string): Promise<Uint8Array> => {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${what} could not be loaded: ${url} answered ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** A file that the person gave. */
export const fileGuest = (name: string, bytes: Uint8Array): Guest => ({
  name,
  append: '',
  private: true,
  load: async () => ({ kernel: bytes }),
})

export const LITMUS_NAME = 'litmus tests'

/** Memory-model tests for two harts, built in. */
export const litmusGuest: Guest = {
  name: LITMUS_NAME,
  append: '',
  private: true,
  load: async () => ({
    kernel: await fetchBytes(new URL('guests/litmus.elf', document.baseURI), 'the litmus tests'),
  }),
}
