// Records what qemu-riscv64 (Debian's qemu-user) makes of the random streams.
// usage: node scripts/run.mjs core/engine/testing/record-qemu.ts > core/engine/testing/qemu-outcomes.json

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { elf } from './elf.ts'
import { CODE, DATA_BASE, fnv, randomProgram } from './random-program.ts'

const STREAMS = 64
const LENGTH = 3000

const folder = mkdtempSync(join(tmpdir(), 'gmemscope-'))
const file = join(folder, 'stream')
const hashes: Record<string, string> = {}
for (let seed = 1; seed <= STREAMS; seed++) {
  writeFileSync(file, elf(randomProgram(seed, LENGTH), CODE, DATA_BASE + 0x2000), { mode: 0o755 })
  hashes[seed] = fnv(execFileSync('qemu-riscv64', [file]))
}
rmSync(folder, { recursive: true })
const version = execFileSync('qemu-riscv64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
console.log(JSON.stringify({ recordedWith: version, length: LENGTH, hashes }, null, 2))
