// Debian's kernel, busybox and modules as they lie in the cache, with a manifest of versions and hashes.
//
// A set of files is unpacked into a draft folder and renamed into place when it is whole; what lies there is checked
// against its manifest before it is used.

import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type FetchedPackages, run } from './apt.ts'
import { moduleNames } from './modules.ts'
import { LinuxUnavailable } from './unavailable.ts'

/** Bump when other files are wanted: older sets are then fetched again. */
const FORMAT = 1

export interface LinuxManifest {
  readonly format: number
  /** `uname -r` of the kernel. */
  readonly release: string
  readonly suite: string
  readonly mirror: string
  /** Package files the set was unpacked from: their names hold the versions. */
  readonly packages: readonly string[]
  /** SHA-256 of each file of the set, by its path in it. */
  readonly hashes: Readonly<Record<string, string>>
}

/** The set, read. */
export interface LinuxSet {
  readonly manifest: LinuxManifest
  readonly kernel: Uint8Array
  readonly busybox: Uint8Array
  /** Modules by name, `.ko.xz`. */
  readonly modules: ReadonlyMap<string, Uint8Array>
}

const MANIFEST = 'manifest.json'
const KERNEL = 'Image'
const BUSYBOX = 'busybox'
const moduleFile = (name: string): string => `${name}.ko.xz`

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The set in `folder`, or null when there is none, or it is not whole. */
export const readSet = async (folder: string): Promise<LinuxSet | null> => {
  try {
    const manifest = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8')) as LinuxManifest
    if (manifest.format !== FORMAT) return null
    const file = async (name: string): Promise<Uint8Array> => {
      const bytes = await readFile(join(folder, name))
      if (sha256(bytes) !== manifest.hashes[name]) throw new Error(`${name} is damaged`)
      return bytes
    }
    const modules = new Map<string, Uint8Array>()
    for (const name of moduleNames) modules.set(name, await file(moduleFile(name)))
    return { manifest, kernel: await file(KERNEL), busybox: await file(BUSYBOX), modules }
  } catch {
    // Not there, cut short or damaged: it is fetched again.
    return null
  }
}

/** Unpacks what is needed of the packages and puts it at `folder`. Throws LinuxUnavailable. */
export const writeSet = async (folder: string, packages: FetchedPackages): Promise<void> => {
  const { files, suite, mirror } = packages
  const kernelPackage = [...files.keys()].find((name) => /^linux-image-\d/.test(name))
  const release = kernelPackage?.replace('linux-image-', '')
  const draft = `${folder}.draft`
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { recursive: true })
  await unpack(
    files.get(kernelPackage ?? ''),
    draft,
    './boot/vmlinu[xz]-*',
    ...moduleNames.map((name) => `*/${moduleFile(name)}`),
  )
  await unpack(files.get('busybox-static'), draft, '*bin/busybox')
  const unpacked = await readdir(draft)
  const kernel = unpacked.find((name) => /^vmlinu[xz]-/.test(name))
  if (release === undefined || kernel === undefined) throw missing('a kernel')
  await rename(join(draft, kernel), join(draft, KERNEL))
  const hashes: Record<string, string> = {}
  for (const name of [KERNEL, BUSYBOX, ...moduleNames.map(moduleFile)]) {
    const bytes = await readFile(join(draft, name)).catch(() => {
      throw missing(name)
    })
    hashes[name] = sha256(bytes)
  }
  const names = [...files.values()].map((path) => decodeURIComponent(basename(path)))
  const manifest: LinuxManifest = { format: FORMAT, release, suite, mirror, packages: names.sort(), hashes }
  await writeFile(join(draft, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`)
  await rm(folder, { recursive: true, force: true })
  await rename(draft, folder)
}

const missing = (what: string): LinuxUnavailable =>
  new LinuxUnavailable(
    `Debian’s packages hold no ${what}: they are built otherwise than this program expects.`,
    'Provide a RISC-V kernel and an initial RAM disk of your own.',
  )

/** Unpacks the files of a package that match `patterns`, without their folders. */
const unpack = async (file: string | undefined, to: string, ...patterns: string[]): Promise<void> => {
  if (file === undefined) throw missing('package of that name')
  // Only dpkg-deb knows how a package is packed; its path is an argument of the shell's, not part of its program.
  const script =
    'file=$1 to=$2; shift 2; dpkg-deb --fsys-tarfile "$file" | tar -x -C "$to" --wildcards --transform "s,.*/,," "$@"'
  const { status, errors } = await run('sh', ['-c', script, 'sh', file, to, ...patterns])
  if (status !== 0) throw missing(`what is needed (${errors.trim().split('\n', 1)[0]})`)
}
