// The emulated host under a real guest on real threads: every Linux version and both folio stores, in-place conversion,
// pins, memory errors and memory pressure, each with what the person is told and what makes the guest go on.

import { describe, expect, test } from 'vitest'
import { SbiExtension } from '../../core/hart/sbi.ts'
import type { MachineStats } from '../../core/machine/api.ts'
import { linuxVersions, storeKinds } from '../../core/machine/host-choice.ts'
import { assemble } from '../../core/riscv/asm.ts'
import {
  PROGRAM_BASE,
  type SessionReport,
  type SessionSettings,
  type SessionStep,
  session,
} from './testing/run.ts'

const MIB = 2 ** 20
/** The monitor's scratch page +0. */
const PAGE = 0x84000000
const IN_PLACE: SessionSettings = { host: { version: 'next-in-place' } }

/** Runs a session in which nothing may go wrong. */
const clean = async (settings: SessionSettings, steps: readonly SessionStep[]): Promise<SessionReport> => {
  const report = await session(settings, steps)
  expect(report).toMatchObject({ error: '', ended: '', violations: [] })
  return report
}

describe('boots, converts and runs on', () => {
  const kept = { version: 'next-in-place' }
  test.each(linuxVersions.flatMap((version) => storeKinds.map((gmemStore) => ({ version, gmemStore }))))(
    'Linux $version, $gmemStore store',
    async (host) => {
      const { results, notices } = await clean({ host }, [
        { type: 'share +0 2' },
        { type: 'keep +1' },
        { call: 'hostState' },
      ])
      expect(results[0]).toContain('0x84000000-0x84002000 now shared')
      const outcome = host.version === kept.version ? 'kept' : 'lost, the page reads as zeroes'
      expect(results[1]).toContain(`shared to private  ${outcome}`)
      expect(results[1]).toContain(`private to shared  ${outcome}`)
      expect(results[2]).toMatchObject({ profile: `riscv-${host.version}`, store: host.gmemStore, nodes: 1 })
      expect(notices).toEqual([])
    },
  )

  test.each([
    { version: '7.2', gmemLargeFolios: true, nodes: 1 },
    { version: '7.2', gmemLargeFolios: false, nodes: 2 },
    { version: 'next-in-place', gmemLargeFolios: true, nodes: 2 },
  ] as const)('Linux $version, large folios $gmemLargeFolios, nodes $nodes', async (host) => {
    const { results } = await clean({ host }, [
      { type: 'touch +0 512' },
      { call: 'inspect', args: [PAGE, 16] },
      { type: 'share +8 1' },
      { call: 'inspect', args: [PAGE, 16] },
    ])
    expect(results[1]).toMatchObject({ large: host.gmemLargeFolios, pins: 0, poisoned: false, node: 0 })
    // Sharing splits in place; with two backings the VMM punches the page it shared, which splits as well.
    expect(results[3]).toMatchObject({ large: false, attributePrivate: true })
  })

  test.each(['6.11', '6.18', 'next-in-place'] as const)('shared memory on Linux %s', async (version) => {
    const { results } = await clean({ host: { version }, private: false }, [
      { type: 'poke +0 1 2 3' },
      { call: 'hostRead', args: [PAGE, 4] },
      { call: 'hostPunchHole', args: [PAGE, 4096] },
      { type: 'peek +0 16' },
    ])
    expect(results[1]).toEqual({ kind: 'ok', value: [1, 2, 3, 0] })
    // Before 6.18 no guest_memfd can serve as shared RAM: there is no file to punch.
    expect(results[2]).toEqual(
      version === '6.11' ? { kind: 'errno', errno: 'EBADF' } : { kind: 'ok', value: 0 },
    )
    expect(results[3]).toContain(version === '6.11' ? '01 02 03 00' : '00 00 00 00')
  })
})

describe('in-place conversion', () => {
  test('the host reads and writes the shared page in place, and gets SIGBUS at the private one', async () => {
    const { results } = await clean(IN_PLACE, [
      { type: 'poke +0 7 8' },
      { call: 'hostRead', args: [PAGE, 2] },
      { type: 'share +0 1' },
      { call: 'hostRead', args: [PAGE, 2] },
      { call: 'hostWrite', args: [PAGE, [9]] },
      { type: 'unshare +0 1' },
      { call: 'hostRead', args: [PAGE, 2] },
      { type: 'peek +0 16' },
    ])
    const sigbus = { kind: 'signal', signal: 'SIGBUS', code: 'BUS_ADRERR' }
    expect(results[1]).toEqual(sigbus)
    expect(results[3]).toEqual({ kind: 'ok', value: [7, 8] })
    expect(results[4]).toEqual({ kind: 'ok', value: 1 })
    expect(results[6]).toEqual(sigbus)
    expect(results[7]).toContain('09 08 00')
  })

  test('a pinned page is refused with EAGAIN, the guest gets FAILED, and unpinned it converts', async () => {
    const { results } = await clean(IN_PLACE, [
      { type: 'share +0 4' },
      { type: 'poke +2 5' },
      { call: 'hostPin', args: [PAGE + 2 * 4096] },
      { type: 'unshare +0 4' },
      { notice: 'EAGAIN' },
      { call: 'hostConvert', args: [PAGE, 4 * 4096, true] },
      { call: 'inspect', args: [PAGE + 2 * 4096, 4] },
      { call: 'hostState' },
      { call: 'hostUnpin', args: [PAGE + 2 * 4096] },
      { call: 'hostUnpin', args: [PAGE + 2 * 4096] },
      { type: 'unshare +0 4' },
      { type: 'peek +2 16' },
    ])
    const page = PAGE + 2 * 4096
    expect(results[2]).toMatchObject({ kind: 'ok' })
    expect(results[3]).toContain('unshare 0x84000000 4: FAILED (-1)')
    expect(results[4]).toMatchObject({ severity: 'warning', gpa: page })
    expect(results[4]).toHaveProperty('detail', expect.stringContaining('unpin'))
    expect(results[5]).toEqual({ kind: 'errno', errno: 'EAGAIN', gpa: page })
    expect(results[6]).toMatchObject({ attributePrivate: false, pins: 1, guestBytes: [5, 0, 0, 0] })
    expect(results[7]).toMatchObject({ pinned: [page] })
    expect(results[8]).toEqual({ kind: 'ok', value: 0 })
    expect(results[9]).toEqual({ kind: 'errno', errno: 'ENOENT' })
    expect(results[10]).toContain('now private')
    expect(results[11]).toContain('05 00 00')
  })
})

describe('pins with two backings', () => {
  test('a private page is out of reach, a shared one is held while the guest converts it', async () => {
    const { results } = await clean({}, [
      { call: 'hostPin', args: [PAGE] },
      { type: 'share +0 1' },
      { call: 'hostPin', args: [PAGE] },
      { type: 'unshare +0 1' },
      { call: 'hostUnpin', args: [PAGE] },
      { call: 'hostPin', args: [0] },
    ])
    expect(results[0]).toEqual({ kind: 'errno', errno: 'ENODEV' })
    expect(results[2]).toMatchObject({ kind: 'ok' })
    expect(results[3]).toContain('now private')
    expect(results[4]).toEqual({ kind: 'ok', value: 0 })
    expect(results[5]).toEqual({ kind: 'errno', errno: 'EFAULT' })
  })
})

describe('memory errors', () => {
  test.each(['7.2', 'next-in-place'] as const)(
    'EHWPOISON stops the vCPU until the page is punched; neighbours and the host go on (Linux %s)',
    async (version) => {
      const { results } = await clean({ host: { version } }, [
        { type: 'poke +0 1' },
        { type: 'poke +1 2' },
        { call: 'hostPoison', args: [PAGE] },
        { call: 'hostPoison', args: [PAGE] },
        { type: 'peek +1 16' },
        { type: 'peek +0 16', waits: false },
        { notice: 'Poisoned page at 0x84000000' },
        { call: 'hostState' },
        { call: 'hostPunchHole', args: [PAGE, 4096] },
        { prompt: true },
        { call: 'hostState' },
        { call: 'inspect', args: [PAGE, 4] },
      ])
      expect(results[2]).toMatchObject({ kind: 'ok' })
      expect(results[3]).toEqual({ kind: 'errno', errno: 'EHWPOISON' })
      expect(results[4]).toContain('02 00 00')
      expect(results[6]).toMatchObject({ severity: 'error', gpa: PAGE })
      expect(results[7]).toMatchObject({ poisoned: [PAGE] })
      expect(results[9]).toContain('0x84000000  00 00 00 00')
      expect(results[10]).toMatchObject({ poisoned: [] })
      expect(results[11]).toMatchObject({ poisoned: false, pins: 0, guestBytes: [0, 0, 0, 0] })
    },
  )

  test('a shared page of two backings is cured by converting it', async () => {
    const { results } = await clean({ vcpus: 1 }, [
      { type: 'share +0 1' },
      { type: 'poke +0 1' },
      { call: 'hostPoison', args: [PAGE] },
      { call: 'hostRead', args: [PAGE, 1] },
      { call: 'hostState' },
      { type: 'unshare +0 1' },
      { type: 'share +0 1' },
      { type: 'peek +0 16' },
      { call: 'hostState' },
    ])
    expect(results[3]).toEqual({ kind: 'signal', signal: 'SIGBUS', code: 'BUS_MCEERR_AR' })
    expect(results[4]).toMatchObject({ poisoned: [PAGE] })
    expect(results[7]).toContain('00 00 00')
    expect(results[8]).toMatchObject({ poisoned: [] })
  })

  test('the other vCPU runs on, and the one that waits spins nowhere', async () => {
    const at = PROGRAM_BASE + 0x100000
    const program = `
      li a0, 1
      li a1, ${PROGRAM_BASE + 0x200}
      li a2, 0
      li a6, 0
      li a7, ${SbiExtension.HSM}
      ecall
      li t0, ${at}
      touch:
      sw t0, 0(t0)
      j touch
    `
    const words = (0x200 - 4 * assemble(program, PROGRAM_BASE).length) / 4
    const spin = `${'addi zero, zero, 0\n'.repeat(words)} spin:\n j spin`
    const look: SessionStep[] = [{ call: 'kernelTasks' }, { call: 'stats' }]
    const { results } = await clean({ vcpus: 2, program: `${program}${spin}` }, [
      { call: 'hostAllocate', args: [at, 4096] },
      { call: 'hostPoison', args: [at] },
      { notice: 'Poisoned page' },
      ...look,
      ...Array.from({ length: 10 }, (): SessionStep => ({ call: 'hostCompact' })),
      ...look,
      { call: 'hostPunchHole', args: [at, 4096] },
      { call: 'inspect', args: [at, 4] },
      { call: 'kernelTasks' },
    ])
    const waiting = expect.arrayContaining([
      { name: 'vcpu0', at: 'vmm/wait_recovery', waiting: true },
      { name: 'vcpu1', at: 'kvm_arch_vcpu_ioctl_run/guest', waiting: true },
    ])
    expect(results[3]).toEqual(waiting)
    expect(results[15]).toEqual(waiting)
    const [before, after] = [results[4], results[16]] as MachineStats[]
    expect(after.instructions).toBeGreaterThan(before.instructions)
    expect(after.exits.memory_fault_exits).toBe(before.exits.memory_fault_exits)
    expect(results[19]).not.toEqual(waiting)
  })

  test('a vCPU that waits at a poisoned shared page goes on once it is punched', async () => {
    const { results } = await clean({}, [
      { type: 'share +0 2' },
      { type: 'poke +0 1' },
      { type: 'poke +1 2' },
      { call: 'hostPoison', args: [PAGE] },
      { type: 'peek +0 16', waits: false },
      { notice: 'Poisoned page at 0x84000000' },
      { call: 'hostPunchHole', args: [PAGE, 2 * 4096] },
      { prompt: true },
      { type: 'peek +1 16' },
    ])
    expect(results[7]).toContain('0x84000000  00 00 00')
    expect(results[8]).toContain('02 00 00')
  })

  test('a page without a frame has nothing to poison', async () => {
    const { results } = await clean({}, [{ call: 'hostPoison', args: [PAGE] }])
    expect(results[0]).toEqual({ kind: 'errno', errno: 'ENXIO' })
  })
})

describe('memory pressure', () => {
  test.each(['private', 'shared'])(
    'ENOMEM stops the vCPU that touches a %s page, and it goes on when memory is free again',
    async (half) => {
      const { results } = await clean({}, [
        ...(half === 'shared' ? [{ type: 'share +0 64' }] : []),
        { call: 'setPressure', args: [0] },
        { type: 'touch +0 64', waits: false },
        { notice: 'out of memory' },
        { call: 'hostAllocate', args: [PAGE, MIB] },
        { call: 'setPressure', args: [null] },
        { prompt: true },
        { call: 'hostState' },
      ])
      const [pressure, , notice, allocated, released, printed] = results.slice(half === 'shared' ? 1 : 0)
      expect(pressure).toMatchObject({ freeFrames: 0 })
      expect(notice).toMatchObject({ severity: 'error' })
      expect(allocated).toEqual({ kind: 'errno', errno: 'ENOMEM' })
      expect(released).toMatchObject({ hogFrames: 0 })
      expect(printed).toContain('64 pages touched')
    },
  )

  test('a vCPU that waits for memory hears of it again when the machine is resumed', async () => {
    const { results } = await clean({}, [
      { call: 'setPressure', args: [0] },
      { type: 'touch +0 8', waits: false },
      { notice: 'out of memory' },
      { call: 'pause' },
      { call: 'run' },
      { notice: 'out of memory' },
      { call: 'setTaskMode', args: [{ kind: 'slow', stepMs: 1 }] },
      { call: 'setPressure', args: [null] },
      { call: 'setTaskMode', args: [{ kind: 'run' }] },
      { prompt: true },
    ])
    expect(results.at(-1)).toContain('8 pages touched')
  })

  test('what may be taken from whom, and pressure changed while it changes', async () => {
    const { results } = await clean({ vcpus: 2 }, [
      { call: 'setPressure', args: [1000] },
      { call: 'setPressure', args: [2000] },
      { call: 'hostCompact' },
      { call: 'hostDrain' },
      { call: 'setPressure', args: [null] },
      { type: 'touch +0 64' },
    ])
    expect(results[0]).toMatchObject({ freeFrames: 1000 })
    expect(results[1]).toMatchObject({ freeFrames: 2000 })
    const { kinds } = results[0] as { kinds: { kind: string; reclaimable: number; why: string }[] }
    const guest = kinds.find(({ kind }) => kind === 'guest_memfd')
    expect(guest).toMatchObject({ reclaimable: 0, why: expect.stringMatching(/reclaim/) })
    const compacted = results[2] as { kinds: { kind: string; migrated: number; refused: number }[] }
    expect(compacted.kinds.find(({ kind }) => kind === 'guest_memfd')).toMatchObject({ migrated: 0 })
    expect(results[3]).toMatchObject({ kind: 'ok' })
  })
})
