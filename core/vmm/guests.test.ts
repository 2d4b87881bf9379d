// The committed guests are what their sources say, and fit this machine.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readElf } from './elf.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const sources = join(repository, 'guest')
const built = join(repository, 'public/guests')
const manifest = readFileSync(join(built, 'manifest.txt'), 'utf8')
const guests = ['litmus.elf', 'monitor.elf', 'virtio.elf']
/** A program for Linux, in the initial RAM disk. */
const programs = ['gmem.elf']

const hashLine = (path: string, name: string): string =>
  `${createHash('sha256').update(readFileSync(path)).digest('hex')}  ${name}\n`

/** The manifest that guest/build.sh writes, for the files as they are and this compiler's version. */
function currentManifest(compiler: string): string {
  const files = readdirSync(sources, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.md'))
    .map((entry) => `./${relative(sources, join(entry.parentPath, entry.name))}`)
    .sort()
  return [
    `${compiler}\n`,
    ...files.map((name) => hashLine(join(sources, name), name)),
    ...[...programs, ...guests].map((name) => hashLine(join(built, name), name)),
  ].join('')
}

const [recordedCompiler] = manifest.split('\n', 1)
const compiler = spawnSync('riscv64-unknown-elf-gcc', ['-dumpfullversion'], { encoding: 'utf8' })
const sameCompiler = compiler.status === 0 && compiler.stdout.trim() === recordedCompiler

describe('guests', () => {
  it('are what the sources give: else run guest/build.sh', () => {
    expect(manifest).toBe(currentManifest(recordedCompiler))
    // Only the same compiler gives the same bytes; without it the manifest's hashes above are the proof.
    if (!sameCompiler) return
    const folder = mkdtempSync(join(tmpdir(), 'guests-'))
    execFileSync(join(sources, 'build.sh'), [folder])
    expect(readFileSync(join(folder, 'manifest.txt'), 'utf8')).toBe(manifest)
    rmSync(folder, { recursive: true })
  })

  it.each(programs)('%s is a static program that needs neither C, F nor D', (name) => {
    const { compressed, hardFloat, segments } = readElf(readFileSync(join(built, name)))
    expect([compressed, hardFloat]).toEqual([false, false])
    expect(segments.every(({ gpa }) => gpa < 0x100000)).toBe(true)
  })

  it.each(guests)('%s starts at 0x80200000 and needs neither C, F nor D', (name) => {
    const image = readElf(readFileSync(join(built, name)))
    expect([image.entry, image.segments[0].gpa]).toEqual([0x80200000, 0x80200000])
    expect([image.compressed, image.hardFloat]).toEqual([false, false])
    expect(image.segments.every(({ gpa, memSize }) => gpa % 4096 === 0 && gpa + memSize <= 0x80400000)).toBe(
      true,
    )
  })
})
