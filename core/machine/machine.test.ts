// The machine behind its API without threads: no vCPU runs, and a pump that every turn of the event loop calls.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Header } from '../host/layout.ts'
import type { MachineConfig } from './api.ts'
import { deviceRegionsOf } from './device-regions.ts'
import { defaultHostChoice } from './host-choice.ts'
import { Machine } from './machine.ts'
import { MachineView } from './view.ts'

const PAGE = 4096
const MIB = 2 ** 20
const RAM = 0x80000000
/** A page that the guest's image does not touch. */
const FREE = RAM + 8 * MIB
/** End of the guest physical addresses of Sv39x4. */
const GPA_END = 2 ** 41

const config: MachineConfig = {
  hostBytes: 64 * MIB,
  ramBytes: 16 * MIB,
  vcpus: 1,
  kernel: readFileSync('public/guests/monitor.elf'),
  append: '',
  private: true,
  host: defaultHostChoice,
}
const events = { notice: () => {}, stopped: () => {} }

const newMachine = (): Machine =>
  new Machine({
    epoch: 0,
    cores: 1,
    createClock: () => () => performance.now() * 1e4,
    randomBytes: (count) => new Uint8Array(count),
    defer: (callback) => void setTimeout(callback, 0),
    spawnVcpu: async () => undefined,
    spawnTimer: async () => undefined,
    startPump: (buffer, pumped) => {
      const stop = new Int32Array(buffer)
      const turn = (): void => {
        pumped.pump()
        if (Atomics.load(stop, Header.STOP) === 0) setTimeout(turn, 0)
      }
      turn()
    },
  })

const created = async (change: Partial<MachineConfig> = {}) => {
  const machine = newMachine()
  const memory = await machine.create({ ...config, ...change }, events)
  const stop = (): void => void Atomics.store(new Int32Array(memory.buffer), Header.STOP, 1)
  return { machine, memory, stop }
}

const BAD = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 0.5, 2 ** 53]

test('V6 numbers that no address, size or count can be are refused, and the machine goes on', async () => {
  const { machine, stop } = await created()
  // Stage 2 ignores the bits above: there it would be a page of the guest's.
  for (const gpa of [...BAD, GPA_END, GPA_END + RAM])
    for (const call of [
      machine.hostRead(gpa, 1),
      machine.hostWrite(gpa, Uint8Array.of(1)),
      machine.hostConvert(gpa, PAGE, true),
      machine.hostPunchHole(gpa, PAGE),
      machine.hostAllocate(gpa, PAGE),
      machine.hostPin(gpa),
      machine.hostUnpin(gpa),
      machine.hostPoison(gpa),
      machine.inspect(gpa, 1),
    ])
      await expect(call, String(gpa)).rejects.toThrow(/no guest physical address/)
  for (const size of [...BAD, GPA_END])
    for (const call of [
      machine.hostRead(FREE, size),
      machine.hostConvert(FREE, size, true),
      machine.hostPunchHole(FREE, size),
      machine.hostAllocate(FREE, size),
      machine.inspect(FREE, size),
    ])
      await expect(call, String(size)).rejects.toThrow(/do not fit/)
  for (const frames of BAD) await expect(machine.setPressure(frames)).rejects.toThrow(/no number of frames/)
  for (const stepMs of [Number.NaN, Number.POSITIVE_INFINITY, -1])
    await expect(machine.setTaskMode({ kind: 'slow', stepMs })).rejects.toThrow(/no time/)
  expect(await machine.inspect(FREE, 4)).toMatchObject({ gfn: FREE / PAGE, attributePrivate: true })
  expect(await machine.checkInvariants()).toEqual([])
  stop()
})

test.each(['7.2', 'next-in-place'] as const)(
  'V7 what an address or a size can be but guest memory has not is the kernel to answer, on Linux %s',
  async (version) => {
    const { machine, stop } = await created({ host: { ...defaultHostChoice, version } })
    const beyond = RAM + config.ramBytes
    for (const gpa of [0, RAM - PAGE, beyond, GPA_END - PAGE]) {
      expect(await machine.hostRead(gpa, 1), String(gpa)).toMatchObject({ kind: 'signal', signal: 'SIGSEGV' })
      expect(await machine.hostPin(gpa), String(gpa)).toEqual({ kind: 'errno', errno: 'EFAULT' })
      expect(await machine.hostPoison(gpa), String(gpa)).toEqual({ kind: 'errno', errno: 'ENXIO' })
      expect(await machine.hostAllocate(gpa, PAGE), String(gpa)).toEqual({ kind: 'errno', errno: 'EINVAL' })
    }
    const unaligned = { kind: 'errno', errno: 'EINVAL' }
    expect(await machine.hostConvert(FREE, 0, false)).toEqual(unaligned)
    expect(await machine.hostConvert(FREE + 1, PAGE, false)).toEqual(unaligned)
    expect(await machine.hostPunchHole(FREE, 100)).toEqual(unaligned)
    expect(await machine.hostPunchHole(RAM - PAGE, PAGE)).toEqual(unaligned)
    // Past the end of the file there is nothing to free, which is no error.
    expect(await machine.hostPunchHole(beyond, PAGE)).toEqual({ kind: 'ok', value: 0 })
    expect(await machine.checkInvariants()).toEqual([])
    stop()
  },
)

test('the registers on the axis are those of the devices that there are', async () => {
  const names = (memory: WebAssembly.Memory): string[] =>
    deviceRegionsOf(new MachineView(memory)).map(({ name }) => name)
  const bare = await created()
  expect(names(bare.memory)).toContain('RTC goldfish')
  expect(names(bare.memory)).not.toContain('PCI memory')
  bare.stop()
  const { memory, stop } = await created({ virtio: { rng: true } })
  expect(names(memory)).toEqual(expect.arrayContaining(['PCI configuration', 'PCI memory']))
  stop()
})

test('V6 devices that are not there, and sizes that they cannot have, are refused', async () => {
  const bare = await created()
  await expect(bare.machine.virtioConsoleInput(Uint8Array.of(1))).rejects.toThrow(/no virtio console/)
  await expect(bare.machine.resizeVirtioConsole(80, 25)).rejects.toThrow(/no virtio console/)
  await expect(bare.machine.setBalloon(0)).rejects.toThrow(/no balloon/)
  bare.stop()
  const { machine, stop } = await created({ virtio: { console: true, balloon: true } })
  for (const size of [...BAD, 0, 0x10000]) {
    await expect(machine.resizeVirtioConsole(size, 25), String(size)).rejects.toThrow(/no size of a terminal/)
    await expect(machine.resizeVirtioConsole(80, size), String(size)).rejects.toThrow(/no size of a terminal/)
  }
  for (const bytes of [...BAD, config.ramBytes + 1])
    await expect(machine.setBalloon(bytes), String(bytes)).rejects.toThrow(/a balloon holds/)
  await machine.resizeVirtioConsole(132, 43)
  await machine.setBalloon(4 * MIB)
  expect((await machine.stats()).devices).toEqual({
    balloon: { inflated: 0, deflated: 0, reported: 0, target: 1024, actual: 0, reclaimed: 0 },
  })
  // What is typed waits for a driver, and no more of it than fits.
  expect(await machine.virtioConsoleInput(new Uint8Array(5000))).toBe(4096)
  stop()
  const empty = { image: new Uint8Array(0), persistent: false }
  await expect(created({ virtio: { disk: empty } })).rejects.toThrow(/disk image is empty/)
  const kept = { image: new Uint8Array(512), persistent: true }
  await expect(created({ virtio: { disk: kept } })).rejects.toThrow(/cannot be kept here/)
})

test('V6 a machine that cannot be is refused before anything is made', async () => {
  for (const vcpus of [...BAD, 0, 9]) await expect(created({ vcpus }), String(vcpus)).rejects.toThrow(/vCPUs/)
  for (const ramBytes of [...BAD, 0, 16 * MIB + 1])
    await expect(created({ ramBytes }), String(ramBytes)).rejects.toThrow(/whole pages/)
  for (const hostBytes of BAD) await expect(created({ hostBytes })).rejects.toThrow(/size of host memory/)
  // As a link somebody wrote by hand may ask for.
  for (const choice of [{ version: '5.4' }, { gmemStore: 'btree' }, { nodes: 3 }])
    await expect(created({ host: { ...defaultHostChoice, ...(choice as object) } })).rejects.toThrow(
      RangeError,
    )
})
