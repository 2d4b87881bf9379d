// The peer: the same monitor in QEMU's system emulator (TCG, `virt` machine, OpenSBI), if one is installed.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { findExecutable } from '../scripts/browsers.mjs'
import { MONITOR } from './node.ts'

const PROMPT = 'gmem> '

export class Qemu {
  readonly version: string
  readonly #child: ChildProcess
  #text = ''
  #prompted: (() => void) | null = null

  private constructor(path: string) {
    this.version = execFileSync(path, ['--version'], { encoding: 'utf8' }).split('\n')[0]
    this.#child = spawn(path, ['-M', 'virt', '-m', '128M', '-nographic', '-kernel', MONITOR], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      if (this.#text.endsWith(PROMPT)) this.#prompted?.()
    })
  }

  /** The monitor at its prompt; null when no QEMU is installed. */
  static async boot(): Promise<Qemu | null> {
    const path = findExecutable(['qemu-system-riscv64'])
    if (!path) return null
    const qemu = new Qemu(path)
    await qemu.#prompt()
    return qemu
  }

  async command(line: string): Promise<string> {
    this.#text = ''
    this.#child.stdin?.write(`${line}\r`)
    await this.#prompt()
    return this.#text
  }

  end(): void {
    this.#child.kill()
  }

  #prompt(): Promise<void> {
    return new Promise((resolve) => {
      this.#prompted = resolve
    })
  }
}
