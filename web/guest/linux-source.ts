// Where Linux comes from: files of the person's own, else what the page's server fetched from Debian.

import { describeInitrd, describeKernel } from '../../core/machine/guest-files.ts'
import type { Store } from '../app/store.ts'
import { fetchBytes, type Guest, type GuestFiles, type Step } from './guest.ts'
import { forgetFiles, type KeptFile, keepFile, recallFile } from './kept-files.ts'
import type { LinuxSettings } from './linux-settings.ts'
import { type FileRole, type Provided, readStatus } from './linux-status.ts'

/** Between two looks at a fetch under way. */
const POLL_MS = 700

const describe: Readonly<Record<FileRole, (bytes: Uint8Array) => string>> = {
  kernel: describeKernel,
  initrd: describeInitrd,
}

const roles: readonly FileRole[] = ['kernel', 'initrd']

/** What is no RAM disk is looked at as a kernel, whose loader says best what it is instead. */
const roleOf = (bytes: Uint8Array): FileRole => {
  try {
    describeInitrd(bytes)
    return 'initrd'
  } catch {
    return 'kernel'
  }
}

const address = (name: string): URL => new URL(`linux/${name}`, document.baseURI)

export class LinuxSource {
  readonly #store: Store
  readonly #files: Partial<Record<FileRole, KeptFile>> = {}
  #polling = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Recalls kept files and asks the server. */
  async start(): Promise<void> {
    void this.#poll('GET', 'status')
    for (const role of roles) {
      const file = await recallFile(role)
      if (!file || this.#files[role]) continue
      try {
        this.#take(role, file, true)
      } catch {
        // Kept by a version of the page that took other files.
        await this.forget()
      }
    }
  }

  /** Has the server try again. */
  retry(): void {
    void this.#poll('POST', 'fetch')
  }

  /**
   * Takes a file, as what it is when no role is given. Throws LoadError when it is none for the role. Kept for the next
   * time, if the browser lets us.
   */
  async provide(file: File, role?: FileRole): Promise<void> {
    const taken = { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) }
    const as = role ?? roleOf(taken.bytes)
    this.#take(as, taken, false)
    if (await keepFile(as, taken)) this.#take(as, taken, true)
  }

  async forget(): Promise<void> {
    delete this.#files.kernel
    delete this.#files.initrd
    this.#store.setState({ provided: {} })
    await forgetFiles()
  }

  /** The guest that these settings make. */
  guest(settings: LinuxSettings): Guest {
    return {
      name: this.#files.kernel?.name ?? 'Debian Linux',
      append: settings.append,
      private: settings.private,
      load: (step) => this.#load(step),
    }
  }

  async #load(step: Step): Promise<GuestFiles> {
    const { kernel, initrd } = this.#files
    if (kernel) return { kernel: kernel.bytes, ...(initrd ? { initrd: initrd.bytes } : {}) }
    step('Loading Debian’s kernel')
    return {
      kernel: await fetchBytes(address('Image'), 'Debian’s kernel'),
      initrd: await fetchBytes(address('initramfs.cpio.gz'), 'the initial RAM disk'),
    }
  }

  #take(role: FileRole, file: KeptFile, kept: boolean): void {
    const kind = describe[role](file.bytes)
    this.#files[role] = file
    const provided: Provided = {
      ...this.#store.getState().provided,
      [role]: { name: file.name, kind, bytes: file.bytes.length, kept },
    }
    this.#store.setState({ provided })
  }

  /** Asks the server, again and again while it fetches. */
  async #poll(method: 'GET' | 'POST', name: string): Promise<void> {
    if (this.#polling) return
    this.#polling = true
    try {
      let linux = await ask(method, name)
      this.#store.setState({ linux })
      while (linux.state === 'fetching') {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS))
        linux = await ask('GET', 'status')
        this.#store.setState({ linux })
      }
    } finally {
      this.#polling = false
    }
  }
}

const ask = async (method: 'GET' | 'POST', name: string): Promise<ReturnType<typeof readStatus>> => {
  try {
    const response = await fetch(address(name), { method })
    return readStatus(response.ok ? await response.json() : null)
  } catch {
    // No answer, or none of JSON: whatever serves the page, it does not fetch Linux.
    return { state: 'absent' }
  }
}
