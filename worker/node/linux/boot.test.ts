// Debian's stock kernel to a shell, in both memory models and with one vCPU and two. Only where `npm start` or
// `npm run linux` has fetched it: the tests fetch nothing.

import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { headless } from '../testing/run.ts'
import { cachedLinux } from './provide.ts'

const cached = await cachedLinux(resolve(import.meta.dirname, '../../..'))

describe.runIf(cached)('Debian Linux', () => {
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
