// `npm run linux`: gets Debian's riscv64 kernel and busybox into the cache, for `npm start` and `npm run headless`.
// usage: npm run -s linux -- [--refresh] [--json] [--out FOLDER]
// --refresh fetches the newest packages although the cache has some; --json prints progress and end as JSON lines;
// --out writes Image, initramfs.cpio.gz and manifest.json to FOLDER, e.g. for QEMU. Exit status 1: not to be had here.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { provideLinux } from './provide.ts'
import { LinuxUnavailable } from './unavailable.ts'

const root = process.env.GMEMSCOPE_ROOT ?? process.cwd()
const { values } = parseArgs({
  options: { refresh: { type: 'boolean' }, json: { type: 'boolean' }, out: { type: 'string' } },
})

const say = (line: Record<string, unknown>, text: string): void =>
  console.log(values.json ? JSON.stringify(line) : text)

/** At once: somebody may be reading the file that was there. */
const write = (folder: string, name: string, content: Uint8Array | string): void => {
  const draft = join(folder, `${name}.${process.pid}`)
  writeFileSync(draft, content)
  renameSync(draft, join(folder, name))
}

let said = ''
const progress = (step: string, fraction: number): void => {
  const percent = Math.floor(fraction * 100)
  if (said === `${step} ${percent}`) return
  said = `${step} ${percent}`
  say({ state: 'fetching', step, fraction }, `${String(percent).padStart(3)} %  ${step}`)
}

// Ended by a signal, apt is to be ended, too: that is done when the process exits.
process.once('SIGTERM', () => process.exit(143))

try {
  const { manifest, kernel, initrd } = await provideLinux(root, progress, values.refresh)
  if (values.out) {
    mkdirSync(values.out, { recursive: true })
    write(values.out, 'Image', kernel)
    write(values.out, 'initramfs.cpio.gz', initrd)
    write(values.out, 'manifest.json', `${JSON.stringify(manifest, null, 2)}\n`)
  }
  say(
    { state: 'ready', release: manifest.release, kernelBytes: kernel.length, initrdBytes: initrd.length },
    `Linux ${manifest.release} (${manifest.packages.join(', ')})`,
  )
} catch (error) {
  if (!(error instanceof LinuxUnavailable)) throw error
  if (values.json)
    console.log(JSON.stringify({ state: 'unavailable', reason: error.message, remedy: error.remedy }))
  else console.error(`${error.message}\n${error.remedy}`)
  process.exitCode = 1
}
