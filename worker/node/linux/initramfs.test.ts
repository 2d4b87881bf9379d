import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { buildInitramfs, type InitramfsParts } from './initramfs.ts'
import { moduleLists, moduleNames } from './modules.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const parts: InitramfsParts = {
  release: '6.12.0-riscv64',
  busybox: bytes('the busybox'),
  modules: new Map(moduleNames.map((name) => [name, bytes(`module ${name}`)])),
  init: bytes('#!/bin/busybox sh\n'),
  profile: bytes('cd\n'),
  gmem: bytes('the gmem program'),
}

describe('the initial RAM disk', () => {
  const archive = gunzipSync(buildInitramfs(parts)).toString('latin1')

  it('has what the kernel needs before anything is mounted', () => {
    expect(archive).toMatch(/0{8}init\0/)
    expect(archive).toContain('dev/console\0')
    for (const folder of ['proc', 'sys', 'dev', 'tmp', 'run', 'sbin', 'usr/sbin'])
      expect(archive).toContain(`${folder}\0`)
  })

  it('has every module, for the kernel it belongs to, and the lists that name them', () => {
    for (const name of moduleNames) expect(archive).toContain(`lib/modules/6.12.0-riscv64/${name}.ko.xz\0`)
    expect(archive).toContain('lib/modules/6.12.0-riscv64/net.list\0')
    expect(archive).toContain('failover failover\nnet_failover net_failover\nvirtio_net virtio_net\n')
    // A module's name in /sys has no hyphens.
    expect(archive).toContain('virtio-rng virtio_rng\n')
    expect(new Set(moduleNames).size).toBe(Object.values(moduleLists).flat().length)
  })

  it('is the same from the same parts', () => {
    expect(Buffer.compare(buildInitramfs(parts), buildInitramfs(parts))).toBe(0)
  })
})
