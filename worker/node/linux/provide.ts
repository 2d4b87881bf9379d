// Debian's Linux as a guest: from the cache, else fetched into it.

import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { dropPackages, fetchPackages, type Progress } from './apt.ts'
import { type LinuxManifest, type LinuxSet, readSet, writeSet } from './cache.ts'
import { buildInitramfs } from './initramfs.ts'

/** What a machine boots. */
export interface LinuxGuest {
  readonly manifest: LinuxManifest
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
}

/** How often a process that waits for another's fetching looks, in milliseconds. */
const POLL_MS = 500

const setFolder = (root: string): string => join(root, '.cache', 'linux', 'debian')
const aptFolder = (root: string): string => join(root, '.cache', 'linux', 'apt')
const lockFile = (root: string): string => join(root, '.cache', 'linux', 'fetching')

const guestOf = async (root: string, set: LinuxSet): Promise<LinuxGuest> => {
  const source = (name: string): Promise<Uint8Array> => readFile(join(root, 'guest', 'linux', name))
  const initrd = buildInitramfs({
    release: set.manifest.release,
    busybox: set.busybox,
    modules: set.modules,
    init: await source('init'),
    profile: await source('profile'),
    gmem: await readFile(join(root, 'public', 'guests', 'gmem.elf')),
  })
  return { manifest: set.manifest, kernel: set.kernel, initrd }
}

/** The guest in the cache, or null. `root`: the repository's. */
export const cachedLinux = async (root: string): Promise<LinuxGuest | null> => {
  const set = await readSet(setFolder(root))
  return set && guestOf(root, set)
}

/** The guest, fetched first when the cache has none, or when `refresh` asks for the newest. Throws LinuxUnavailable. */
export const provideLinux = async (
  root: string,
  progress: Progress,
  refresh = false,
): Promise<LinuxGuest> => {
  if (!refresh) {
    const cached = await cachedLinux(root)
    if (cached) return cached
  }
  await mkdir(join(root, '.cache', 'linux'), { recursive: true })
  for (;;) {
    if (await lock(root)) break
    progress('Another process fetches Debian’s packages', 0)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    const cached = await cachedLinux(root)
    if (cached) return cached
  }
  try {
    const packages = await fetchPackages(aptFolder(root), progress)
    progress('Unpacking kernel and modules', 0.92)
    await writeSet(setFolder(root), packages)
    await dropPackages(aptFolder(root))
  } finally {
    await rm(lockFile(root), { force: true })
  }
  const guest = await cachedLinux(root)
  if (!guest) throw new Error('the cache cannot be read back')
  progress('Ready', 1)
  return guest
}

/** Takes the lock that lets one process fetch at a time; one left by a process that died is taken over. */
const lock = async (root: string): Promise<boolean> => {
  const path = lockFile(root)
  try {
    const file = await open(path, 'wx')
    await file.writeFile(String(process.pid))
    await file.close()
    return true
  } catch {
    const owner = Number(await readFile(path, 'utf8').catch(() => ''))
    if (owner && isAlive(owner)) return false
    await rm(path, { force: true })
    return false
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
