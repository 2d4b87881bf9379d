// Debian's riscv64 packages through apt, without touching the machine's own package state.
//
// apt gets lists, archives and status of its own below one folder, the mirror that the machine is configured with,
// and the installed Debian archive keyring as the only keys: what is not signed by Debian is refused. A download
// that broke off goes on where it stopped, if the mirror allows.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LinuxUnavailable } from './unavailable.ts'

/** What is wanted: the kernel's meta-package, which depends on the newest kernel, and a static busybox. */
const PACKAGES = ['linux-image-riscv64', 'busybox-static'] as const
/** The first suite that has the packages is taken: stable, else unstable. */
const SUITES = ['trixie', 'sid'] as const
const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
]
const DEFAULT_MIRROR = 'http://deb.debian.org/debian'

const OWN_FILES =
  'Or provide a RISC-V kernel and an initial RAM disk of your own: --kernel and --initrd, or by drag and drop on the page.'

/**
 * Stands for the packages that a kernel's package wants beside it when it is installed, and that no one needs who only
 * reads it. Without it apt would download them too.
 */
const STATUS = `Package: gmemscope-base
Status: install ok installed
Architecture: all
Version: 1
Maintainer: gmemscope
Provides: kmod, linux-base (= 999), initramfs-tools (= 999), linux-initramfs-tool
Description: stands for what a kernel needs to be installed

`

/** Told what is done, and how far, from 0 to 1. */
export type Progress = (step: string, fraction: number) => void

export interface FetchedPackages {
  readonly suite: string
  readonly mirror: string
  /** Package files (`.deb`) by package name. */
  readonly files: ReadonlyMap<string, string>
}

interface Outcome {
  readonly status: number | null
  readonly output: string
  readonly errors: string
}

/** Runs a program; `onPercent` gets apt's progress. Ends with this process. Rejects when it cannot be started. */
export const run = (
  command: string,
  args: readonly string[],
  onPercent: (percent: number) => void = () => {},
): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    // Messages are read, so they must not be translated.
    const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk
    })
    child.stdio[3]?.on('data', (chunk: Buffer) => {
      const percent = /.*\bdlstatus:[^:]*:([\d.]+):/s.exec(chunk.toString())?.[1]
      if (percent !== undefined) onPercent(Number(percent))
    })
    const stop = (): void => void child.kill('SIGTERM')
    process.once('exit', stop)
    child.once('error', reject)
    child.once('close', (status) => {
      process.off('exit', stop)
      resolve({ status, output, errors })
    })
  })

/** The installed Debian archive keyring. Throws LinuxUnavailable. */
const keyring = (): string => {
  const found = KEYRINGS.find((path) => existsSync(path))
  if (found) return found
  throw new LinuxUnavailable(
    'The Debian archive keyring is not installed, so Debian’s signatures cannot be checked.',
    `Install the package debian-archive-keyring. ${OWN_FILES}`,
  )
}

/** Throws LinuxUnavailable when this system has no apt. */
const requireTools = async (): Promise<void> => {
  for (const tool of ['apt-get', 'dpkg-deb', 'tar'])
    await run(tool, ['--version']).catch(() => {
      throw new LinuxUnavailable(
        `${tool} is not here: Debian’s kernel is fetched with apt, on Debian or a system made from it.`,
        OWN_FILES,
      )
    })
}

/** The mirror this machine's apt is configured with, if it is one of Debian's archive. */
const mirror = async (): Promise<string> => {
  const { output } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)'])
  const uris = output.split('\n').map((uri) => uri.trim().replace(/\/$/, ''))
  return uris.find((uri) => /^https?:\/\/[^\s"]+\/debian$/.test(uri)) ?? DEFAULT_MIRROR
}

/** What apt said went wrong, shortened to its error lines. */
const complaint = ({ errors }: Outcome): string => {
  const lines = errors.split('\n').filter((line) => /^[EW]: /.test(line))
  return [...new Set(lines)].slice(0, 3).join(' ') || 'apt-get failed without a word'
}

/** Fetches the packages of the first suite that has them into `folder`. Throws LinuxUnavailable. */
export const fetchPackages = async (folder: string, progress: Progress): Promise<FetchedPackages> => {
  await requireTools()
  const keys = keyring()
  const uri = await mirror()
  let last = ''
  for (const suite of SUITES) {
    const state = join(folder, suite)
    const options = await prepare(state, uri, suite, keys)
    const updated = await run('apt-get', [...options, 'update', '--error-on=any'], (percent) =>
      progress(`Reading Debian’s package lists (${suite})`, percent / 1000),
    )
    if (updated.status !== 0) {
      last = complaint(updated)
      continue
    }
    const install = ['--download-only', '--yes', '--no-install-recommends', 'install', ...PACKAGES]
    const fetched = await run('apt-get', [...options, ...install], (percent) =>
      progress('Fetching kernel and busybox', 0.1 + (percent / 100) * 0.8),
    )
    if (fetched.status === 0)
      return { suite, mirror: uri, files: await packageFiles(join(state, 'archives')) }
    last = complaint(fetched)
  }
  throw new LinuxUnavailable(
    `apt could not fetch Debian’s riscv64 packages from ${uri}: ${last}`,
    `Check the network and apt’s mirror, then try again. ${OWN_FILES}`,
  )
}

/** apt's own folders below `state`; returns the options that make it use them and nothing of the machine's. */
const prepare = async (state: string, uri: string, suite: string, keys: string): Promise<string[]> => {
  for (const name of ['lists/partial', 'archives/partial'])
    await mkdir(join(state, name), { recursive: true })
  const sources = join(state, 'debian.sources')
  await writeFile(
    sources,
    `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\nTargets: Packages\nSigned-By: ${keys}\n`,
  )
  await writeFile(join(state, 'status'), STATUS)
  const settings = {
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': state,
    'Dir::State::lists': join(state, 'lists'),
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': state,
    'Dir::Cache::archives': join(state, 'archives'),
    'APT::Architecture': 'riscv64',
    'APT::Architectures': 'riscv64',
    'APT::Status-Fd': '3',
    'APT::Get::AllowUnauthenticated': 'false',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Acquire::AllowInsecureRepositories': 'false',
    'Acquire::AllowWeakRepositories': 'false',
  }
  return Object.entries(settings).map(([name, value]) => `-o${name}=${value}`)
}

/** The packages in apt's archive, by name: `NAME_VERSION_ARCHITECTURE.deb`. */
const packageFiles = async (archives: string): Promise<ReadonlyMap<string, string>> => {
  const names = (await readdir(archives)).filter((name) => name.endsWith('.deb'))
  return new Map(names.map((name) => [name.split('_', 1)[0], join(archives, name)]))
}

/** Forgets apt's lists and packages. */
export const dropPackages = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })
