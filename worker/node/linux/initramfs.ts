// The Linux guest's initial RAM disk: static busybox, /init and its tables, the drivers, the `gmem` tool.

import { gzipSync } from 'node:zlib'
import { type CpioEntry, writeCpio } from '../../../core/vmm/cpio.ts'
import { moduleLists } from './modules.ts'

/** What it is made from, as bytes. */
export interface InitramfsParts {
  /** The kernel's release (`uname -r`), which its modules belong to. */
  readonly release: string
  readonly busybox: Uint8Array
  /** Modules by name, as the kernel's package has them: `.ko.xz`. */
  readonly modules: ReadonlyMap<string, Uint8Array>
  /** Files of guest/linux/. */
  readonly init: Uint8Array
  readonly profile: Uint8Array
  /** The program built from guest/gmem/. */
  readonly gmem: Uint8Array
}

const DIRECTORIES = [
  'bin',
  'dev',
  'etc',
  'lib',
  'lib/modules',
  'proc',
  'root',
  'run',
  'sbin',
  'sys',
  'tmp',
  'usr',
  'usr/bin',
  'usr/sbin',
] as const

const text = (content: string): Uint8Array => Buffer.from(content)

/** A module's file name and the name it has once loaded, where a hyphen is an underscore. */
const listLine = (module: string): string => `${module} ${module.replaceAll('-', '_')}\n`

/** The archive, gzipped. The same parts give the same bytes. */
export const buildInitramfs = (parts: InitramfsParts): Uint8Array => {
  const modules = `lib/modules/${parts.release}`
  const file = (path: string, data: Uint8Array, mode = 0o644): CpioEntry => ({
    path,
    kind: 'file',
    data,
    mode,
  })
  const entries: CpioEntry[] = [
    ...DIRECTORIES.map((path): CpioEntry => ({ path, kind: 'directory' })),
    // The kernel opens the console for /init, before anything is mounted.
    { path: 'dev/console', kind: 'device', major: 5, minor: 1 },
    { path: 'dev/null', kind: 'device', major: 1, minor: 3, mode: 0o666 },
    file('init', parts.init, 0o755),
    file('bin/busybox', parts.busybox, 0o755),
    file('bin/gmem', parts.gmem, 0o755),
    { path: 'bin/sh', kind: 'symlink', target: 'busybox' },
    file('etc/profile', parts.profile),
    file('etc/passwd', text('root::0:0:root:/root:/bin/sh\n')),
    file('etc/group', text('root:x:0:\n')),
    { path: modules, kind: 'directory' },
    ...[...parts.modules].map(([name, data]) => file(`${modules}/${name}.ko.xz`, data)),
    ...Object.entries(moduleLists).map(([name, members]) =>
      file(`${modules}/${name}.list`, text(members.map(listLine).join(''))),
    ),
  ]
  return gzipSync(writeCpio(entries), { level: 9 })
}
