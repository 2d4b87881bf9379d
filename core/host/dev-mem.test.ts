import { expect, test } from 'vitest'
import { hva, type Pfn } from '../base/units.ts'
import { DevMem } from './dev-mem.ts'
import { Host } from './host.ts'
import { HostMemory } from './host-memory.ts'
import { MapFlag } from './mmap.ts'
import { Process } from './process.ts'
import { Syscalls } from './syscalls.ts'
import { Prot } from './vma.ts'

const PAGE = 4096

const setUp = () => {
  const host = new Host(HostMemory.create(16 * 2 ** 20))
  const process = new Process(host)
  process.privileged = true
  const syscalls = new Syscalls(process)
  const run = host.scheduler.runSync.bind(host.scheduler)
  const fd = DevMem.open(process)
  const mapFrame = (pfn: number, pages = 1): number =>
    run(syscalls.mmap(pages * PAGE, Prot.READ | Prot.WRITE, MapFlag.SHARED, fd, pfn * PAGE))
  /** An anonymous page of the process with a byte in it: its address and frame. */
  const page = (): { at: number; pfn: Pfn } => {
    const at = run(syscalls.mmapAnonymous(PAGE))
    run(syscalls.store(hva(at), Uint8Array.of(42)))
    const frame = process.mappedFrame(at)
    if (!frame) throw new Error('the page has no frame')
    return { at, pfn: frame.pfn }
  }
  return { host, process, syscalls, run, mapFrame, page }
}

test('N9 /dev/mem shows frames without owning them', () => {
  const { host, syscalls, run, mapFrame, page } = setUp()
  const { at, pfn } = page()
  const { refcount, mapcount } = host.memory.folios
  const mapped = mapFrame(pfn)
  const loaded = run(syscalls.load(hva(mapped), 1))
  expect(loaded).toEqual({ ok: true, value: Uint8Array.of(42) })
  expect(run(syscalls.store(hva(mapped), Uint8Array.of(7)))).toEqual({ ok: true, value: 1 })
  expect(run(syscalls.load(hva(at), 1))).toEqual({ ok: true, value: Uint8Array.of(7) })
  expect([refcount[pfn], mapcount[pfn]]).toEqual([1, 1])
  expect(run(syscalls.munmap(mapped, PAGE))).toBe(0)
  expect([refcount[pfn], mapcount[pfn]]).toEqual([1, 1])
})

test('N9 beyond the memory there is SIGBUS, and only root may open it', () => {
  const { host, syscalls, run, mapFrame } = setUp()
  const mapped = mapFrame(host.memory.layout.frames - 1, 2)
  expect(run(syscalls.load(hva(mapped), 1)).ok).toBe(true)
  expect(run(syscalls.load(hva(mapped + PAGE), 1))).toMatchObject({ signal: 'SIGBUS', code: 'BUS_ADRERR' })
  expect(() => DevMem.open(new Process(host))).toThrow(expect.objectContaining({ errno: 'EPERM' }))
})

test("N10 every access of the host walks the host's stage 2, by /dev/mem and out of a pipe too", () => {
  const { host, syscalls, run, mapFrame, page } = setUp()
  const { at, pfn } = page()
  const mapped = mapFrame(pfn)
  const ends = syscalls.pipe2(0)
  if (typeof ends === 'number') throw new Error('no pipe')
  expect(run(syscalls.vmsplice(ends[1], at, PAGE, 0))).toBe(PAGE)
  const target = run(syscalls.mmapAnonymous(PAGE))
  host.stage2 = { allows: (frame, write) => frame !== pfn || !write }
  expect(run(syscalls.load(hva(at), 1)).ok).toBe(true)
  const abort = { ok: false, signal: 'SIGBUS', code: 'BUS_OBJERR' }
  expect(run(syscalls.store(hva(at), Uint8Array.of(1)))).toEqual(abort)
  host.stage2 = { allows: (frame) => frame !== pfn }
  expect(run(syscalls.load(hva(at), 1))).toEqual(abort)
  expect(run(syscalls.load(hva(mapped), 1))).toEqual(abort)
  expect(run(syscalls.vmsplice(ends[0], target, 8, 0))).toBe(-14)
  host.stage2 = null
  expect(run(syscalls.load(hva(mapped), 1))).toEqual({ ok: true, value: Uint8Array.of(42) })
  expect(run(syscalls.vmsplice(ends[0], target, 8, 0))).toBe(8)
})
