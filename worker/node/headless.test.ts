// The headless machine as a person runs it: real worker threads, real guests, exit statuses.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { elf } from '../../core/engine/testing/elf.ts'
import { SbiExtension } from '../../core/hart/sbi.ts'
import { assemble } from '../../core/riscv/asm.ts'
import { cachedLinux } from './linux/provide.ts'
import { headless, stress } from './testing/run.ts'

const monitor = 'public/guests/monitor.elf'
const litmus = 'public/guests/litmus.elf'

const temporary = (name: string, bytes: Uint8Array): string => {
  const file = join(mkdtempSync(join(tmpdir(), 'gmemscope-')), name)
  writeFileSync(file, bytes)
  return file
}

// Builds the bundle once, so that no test's time is the builder's.
beforeAll(() => headless(['--help']), 60_000)

describe('the monitor', () => {
  test('boots from private memory, shares, unshares and powers off', async () => {
    const run = await headless(
      ['--kernel', monitor, '--private', '--timeout', '25', '--stats'],
      ['share +0 4', 'touch +0 4', 'unshare +0 4', 'peek +0 16', 'share +0 4', 'share +1 1', 'poweroff'],
    )
    expect(run.output).toContain('32768 of 32768 pages private')
    expect(run.output).toContain('0x84000000-0x84004000 now shared')
    expect(run.output).toContain('0x84000000-0x84004000 now private')
    // The private half was punched when the pages were shared, so the guest finds zeroes there again.
    expect(run.output).toMatch(/0x84000000 {2}(00 ){8}/)
    expect(run.output).toContain('share 0x84001000 1: INVALID_PARAM (-3)')
    expect(run.status).toBe(0)
    const stats = JSON.parse(run.errors)
    expect(stats.exits.sbi_exit_user).toBe(4)
    // One by the VMM at the start, three by the guest.
    expect(stats.conversions).toBe(4)
  })

  test('shares and unshares by the doorbell, with the answers of the SBI calls', async () => {
    const run = await headless(
      ['--kernel', monitor, '--private', '--smp', '2', '--timeout', '25', '--stats'],
      [
        'doorbell share +0 4',
        'touch +0 4',
        'doorbell share +1 1',
        'unshare +1 1',
        'doorbell unshare +2 1',
        'doorbell share 0x10000000 1',
        'touch +0 4',
        'poweroff',
      ],
    )
    expect(run.output).toContain('0x84000000-0x84004000 now shared')
    expect(run.output).toContain('share 0x84001000 1: INVALID_PARAM (-3)')
    expect(run.output).toContain('0x84001000-0x84002000 now private')
    expect(run.output).toContain('0x84002000-0x84003000 now private')
    expect(run.output).toContain('share 0x10000000 1: INVALID_ADDRESS (-5)')
    expect(run.status).toBe(0)
    const stats = JSON.parse(run.errors)
    // What the guest declared followed: no touch was a memory fault.
    expect(stats.exits.memory_fault_exits).toBe(0)
    expect(stats.conversions).toBe(4)
  })

  test('under Gunyah conversions are asked for by SBI calls alone: the doorbell says so', async () => {
    const run = await headless(
      ['--kernel', monitor, '--private', '--hypervisor', 'gunyah', '--timeout', '25'],
      ['doorbell share +0 1', 'share +0 1', 'poweroff'],
    )
    expect(run.output).toContain('share 0x84000000 1: NOT_SUPPORTED (-2)')
    expect(run.output).toContain('0x84000000-0x84001000 now shared')
    expect(run.status).toBe(0)
  })

  test('runs on the host that is asked for', async () => {
    const host = ['--host', 'next-in-place', '--store', 'filemap', '--large-folios', '--nodes', '2']
    const run = await headless(
      ['--kernel', monitor, '--private', ...host, '--timeout', '25'],
      ['keep +0', 'poweroff'],
    )
    expect(run.output).toContain('private to shared  kept')
    expect(run.output).toContain('shared to private  kept')
    expect(run.status).toBe(0)
  })

  test('two vCPUs count together without losing an update', async () => {
    const run = await headless(
      ['--kernel', monitor, '--private', '--smp', '2', '--timeout', '25'],
      ['smp', 'poweroff'],
    )
    expect(run.output).toContain('AMO counter    200000 of 200000')
    expect(run.output).toContain('LR/SC counter  200000 of 200000')
    expect(run.status).toBe(0)
  })

  test('runs in shared memory too, where share is not offered', async () => {
    const run = await headless(
      ['--kernel', monitor, '--timeout', '25'],
      ['share +0 1', 'doorbell share +0 1', 'poweroff'],
    )
    expect(run.output.split('NOT_SUPPORTED').length - 1).toBe(2)
    expect(run.status).toBe(0)
  })

  test('a megabyte on the serial line arrives complete', async () => {
    const run = await headless(
      ['--kernel', monitor, '--private', '--timeout', '40'],
      ['flood 1024', 'poweroff'],
    )
    const sum = /flood: 1048576 bytes, fnv1a ([0-9a-f]{8})/.exec(run.output)
    const start = run.output.indexOf('\r\n', run.output.indexOf('flood 1024')) + 2
    const bytes = run.output.slice(start, start + 1024 * 1024)
    let hash = 0x811c9dc5
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes.charCodeAt(i), 0x01000193)
    expect((hash >>> 0).toString(16).padStart(8, '0')).toBe(sum?.[1])
  })

  test('a reboot boots again, a failure is exit status 1', async () => {
    const run = await headless(['--kernel', monitor, '--private', '--timeout', '25'], ['reboot', 'fail'])
    expect(run.output.split('gmemscope monitor').length - 1).toBe(2)
    expect(run.status).toBe(1)
  })
})

test('litmus: two harts on real threads show only allowed outcomes', async () => {
  const run = await headless(['--kernel', litmus, '--private', '--smp', '2', '--timeout', '60'])
  const counts = (name: string): Record<string, number> => {
    const line = run.output.split('\r\n').find((text) => text.startsWith(`${name} `)) ?? ''
    return Object.fromEntries(
      [...line.matchAll(/(\d\d):(\d+)/g)].map(([, outcome, count]) => [outcome, Number(count)]),
    )
  }
  // RVWMO: message passing with fences never shows the flag without the data; store buffering with fences
  // never shows both loads before both stores. Without fences every outcome is allowed.
  expect(counts('MP+fence')['10']).toBe(0)
  expect(counts('SB+fence')['00']).toBe(0)
  for (const name of ['MP', 'MP+fence', 'SB', 'SB+fence'])
    expect(Object.values(counts(name)).reduce((sum, count) => sum + count, 0)).toBe(25_600)
  expect(run.output).toContain('LR/SC      100000 of 100000 PASS')
  expect(run.output).toContain('RFENCE     1000+1000 of 1000+1000')
  expect(run.output).toContain('FENCE.I    0 stale of 1000 PASS')
  expect(run.status).toBe(0)
}, 90_000)

describe('conversions by hypercall', () => {
  const BASE = 0x80200000
  /** Asks for one page at `gpa` to be shared (or, encrypted, private), and fails unless the answer is `expected`. */
  const ask = (gpa: number, encrypted: boolean, expected: number): string => `
    li a0, ${gpa}
    li a1, 1
    li a2, ${encrypted ? 16 : 0}
    li a6, 12
    li a7, ${0x0a000003}
    ecall
    li t0, ${expected}
    bne a0, t0, wrong
  `
  const program = (body: string): string => {
    const source = `
      ${body}
      li a0, 0
      li a1, 0
      j out
      wrong:
      li a0, 0
      li a1, 1
      out:
      li a6, 0
      li a7, ${SbiExtension.SRST}
      ecall
    `
    const words = new Uint32Array(128)
    words.set(assemble(source, BASE))
    return temporary('hypercall.elf', Buffer.from(elf(words, BASE, BASE + 0x1000)))
  }

  test.each(['7.2', 'next-in-place'])('MAP_GPA_RANGE shares and unshares on Linux %s', async (version) => {
    const touch = `
      li t1, 0x80400000
      sw t1, 0(t1)
    `
    const kernel = program(
      ask(0x80400000, false, 0) + touch + ask(0x80400000, true, 0) + touch + ask(0x1000, false, -22),
    )
    const args = ['--kernel', kernel, '--private', '--host', version, '--timeout', '25', '--stats']
    const run = await headless(args)
    expect(run.errors).not.toContain('Memory fault')
    expect(JSON.parse(run.errors).conversions).toBe(3)
    expect(run.status).toBe(0)
  })

  test('a VM without private memory has no such call', async () => {
    const run = await headless(['--kernel', program(ask(0x80400000, false, -1000)), '--timeout', '25'])
    expect(run.status).toBe(0)
  })
})

describe('exit statuses', () => {
  test('0 when the console shows what was waited for', async () => {
    expect((await headless(['--kernel', monitor, '--until', 'Type help', '--timeout', '25'])).status).toBe(0)
  })

  test('3 on time-out', async () => {
    const run = await headless(['--kernel', monitor, '--until', 'never printed', '--timeout', '1'])
    expect(run.status).toBe(3)
    expect(run.errors).toContain('no end after 1 s')
  })

  const good = readFileSync(monitor)
  test.each([
    ['no arguments', [], '--kernel is missing'],
    ['two kernels', ['--kernel', monitor, '--linux'], '--linux brings its own'],
    ['an unknown option', ['--kernel', monitor, '--frobnicate'], 'frobnicate'],
    ['a file that is not there', ['--kernel', '/nonexistent'], 'ENOENT'],
    ['RAM of no size', ['--kernel', monitor, '--mem', '3'], '--mem 3'],
    ['nine vCPUs', ['--kernel', monitor, '--smp', '9'], '--smp'],
    ['a Linux there is not', ['--kernel', monitor, '--host', '6.9'], '--host 6.9: one of 6.8, 6.11'],
    [
      'a store there is not',
      ['--kernel', monitor, '--store', 'btree'],
      '--store btree: one of xarray, filemap',
    ],
    ['three nodes', ['--kernel', monitor, '--nodes', '3'], '--nodes 3: one of 1, 2'],
    ['text as kernel', ['--kernel', temporary('text', Buffer.from('hello'))], 'neither an ELF'],
    ['a truncated ELF', ['--kernel', temporary('cut.elf', good.subarray(0, 100))], 'program header'],
    ['RAM smaller than the image', ['--kernel', monitor, '--mem', '4M'], 'more RAM'],
  ])('2 for %s, saying what is wrong', async (_what, args, message) => {
    const run = await headless(args)
    expect(run.errors).toContain(message)
    expect(run.status).toBe(2)
  })
})

// M1-M3, F1-F3 and K6 with real threads: a TLB that outlives its invalidation shows as a foreign tag in a page.
test('two harts and a host that converts, punches and pauses behind their backs: every invariant holds', async () => {
  const { status, report } = await stress(3, Date.now() % 100_000)
  expect(report, `seed ${report.seed}`).toMatchObject({ ended: '', violations: [] })
  expect(report.exits.memory_fault_exits).toBeGreaterThan(100)
  expect(status).toBe(0)
}, 60_000)

// Only where `npm start` or `npm run linux` has fetched it: the tests fetch nothing.
if (await cachedLinux(resolve(import.meta.dirname, '../..')))
  describe('Debian Linux', () => {
    test.each([
      { memory: 'shared', vcpus: 1, options: [], shares: /NOT_SUPPORTED/ },
      { memory: 'private', vcpus: 2, options: ['--private'], shares: /now shared/ },
      {
        memory: 'lent by Gunyah',
        vcpus: 2,
        options: ['--private', '--hypervisor', 'gunyah'],
        shares: /NOT_SUPPORTED/,
      },
    ])(
      'P12 boots to a shell that runs programs and powers off: memory $memory, vCPUs $vcpus',
      async ({ vcpus, options, shares }) => {
        const run = await headless(
          ['--linux', '--smp', String(vcpus), '--timeout', '100', ...options],
          ['nproc; uname -m', 'gmem alloc 2; gmem share +0', 'poweroff'],
          'root@gmem:~# ',
        )
        expect(run.output).toMatch(new RegExp(`\\n${vcpus}\\r\\nriscv64`))
        expect(run.output).toMatch(shares)
        expect(run.output).toContain('Power down')
        expect(run.status).toBe(0)
      },
      120_000,
    )
  })
