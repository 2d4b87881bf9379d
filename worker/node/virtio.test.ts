// virtio devices with a guest that drives them over PCI, on real threads.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { headless } from './testing/run.ts'

const SECTOR = 512
const image = Buffer.alloc(64 * SECTOR)
image.write('an image with words at its start')
const disk = join(mkdtempSync(join(tmpdir(), 'gmemscope-')), 'disk.img')
writeFileSync(disk, image)

const devices = ['--virtio-console', '--balloon', '--disk', disk]
const boot = (...args: string[]) =>
  headless(['--kernel', 'public/guests/virtio.elf', ...devices, '--stats', '--timeout', '25', ...args])

// Builds the bundle once, so that no test's time is the builder's.
beforeAll(() => headless(['--help']), 60_000)

const KVM_IN_PLACE = ['--private', '--host', 'next-in-place', '--store', 'filemap', '--large-folios']
const GUNYAH = ['--hypervisor', 'gunyah']

describe.each([
  ['shared memory', [], true],
  ['shared memory without guest_memfd', ['--host', '6.8'], true],
  ['two backings', ['--private'], true],
  ['memory converted in place', KVM_IN_PLACE, true],
  ['memory that Gunyah shares', GUNYAH, true],
  ['memory that Gunyah lends for good', [...GUNYAH, '--private'], false],
  ['memory that Gunyah lends', [...GUNYAH, '--private', '--gunyah-reclaim', 'grant'], true],
])('with %s', (_memory, args, taken) => {
  test('every device works, and one that a driver misuses stops until it is reset', async () => {
    const run = await boot(...args)
    expect(run.output).not.toContain('FAIL')
    expect(run.output).toContain('virtio: PASS')
    expect(run.output).toContain('hello from virtio-console')
    expect(run.output).toContain('begins with "an image with words at its start"')
    expect(run.output.split(`the host ${taken ? 'took' : 'left'} them`)).toHaveLength(3)
    expect(run.errors).toContain('virtio-rng needs a reset')
    expect(run.errors).toContain('a chain of descriptors is a loop')
    expect(run.status).toBe(0)
    const { devices: stats } = JSON.parse(run.errors.slice(run.errors.lastIndexOf('\n{') + 1))
    expect(stats.disk).toMatchObject({ reads: 2, writes: 1, flushes: 1, errors: 1 })
    expect(stats.balloon).toMatchObject({ inflated: 32, reported: 32, reclaimed: taken ? 64 : 0 })
    // What the guest wrote is not in the image.
    expect(readFileSync(disk).equals(image)).toBe(true)
  })
})

test.each([
  ['ENODEV', ['--private']],
  ['SIGBUS BUS_ADRERR', KVM_IN_PLACE],
  ['EACCES', [...GUNYAH, '--private']],
])(
  'D6 queues in private memory stop the device: the notice says that the VMM got %s, and the remedy',
  async (error, args) => {
    const run = await boot(...args)
    expect(run.output).toContain('stops over queues in private memory')
    expect(run.output).toMatch(/shares its queues +PASS/)
    expect(run.errors).toMatch(
      /virtio-rng needs a reset: .* at 0x80[0-9a-f]+, which is private.*share the page/,
    )
    expect(run.errors).toContain(`the VMM's access failed with ${error}.`)
  },
)

test('a disk image that cannot be read is exit status 2', async () => {
  const run = await headless(['--kernel', 'public/guests/virtio.elf', '--disk', '/nonexistent'])
  expect(run.errors).toContain('--disk /nonexistent: ENOENT')
  expect(run.status).toBe(2)
})
