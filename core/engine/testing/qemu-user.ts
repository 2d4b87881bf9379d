// Debian's qemu-riscv64: what another implementation makes of a random program.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { elf } from './elf.ts'
import { CODE, DATA_BASE } from './random-program.ts'

export class QemuUser {
  readonly version: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'gmemscope-'))

  private constructor(version: string) {
    this.version = version
  }

  /** Null where qemu-riscv64 is not installed. */
  static find(): QemuUser | null {
    try {
      return new QemuUser(execFileSync('qemu-riscv64', ['--version'], { encoding: 'utf8' }).split('\n')[0])
    } catch {
      return null
    }
  }

  /** Data area and registers after a program of `randomProgram`. Throws when it did not end by itself. */
  run(words: Uint32Array<ArrayBuffer>): Uint8Array {
    const file = join(this.#folder, 'stream')
    writeFileSync(file, elf(words, CODE, DATA_BASE + 0x2000), { mode: 0o755 })
    return execFileSync('qemu-riscv64', [file])
  }

  end(): void {
    rmSync(this.#folder, { recursive: true })
  }
}
