// The PCI bus: enumeration as a guest does it, BARs that move, and any access that a guest can make.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Host } from '../../host/host.ts'
import { HostMemory } from '../../host/host-memory.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { PCI_ECAM_BASE, PCI_ECAM_SIZE, PCI_MMIO_BASE, PCI_MMIO_SIZE } from '../memory-map.ts'
import { MmioBus } from '../mmio-bus.ts'
import { VirtioPciFunction } from '../virtio/pci-function.ts'
import { GuestRam } from '../virtio/testing/guest-ram.ts'
import { VirtioRng } from '../virtio-rng/device.ts'
import { PciBus } from './bus.ts'
import { PciCommand, PciReg, PciStatus } from './registers.ts'

const host = new Host(HostMemory.create(1))
const run = <T>(task: KernelTask<T>): T => host.scheduler.runSync(task)

/** A bus with a device in slot 3 and another in slot 5. */
const make = (): MmioBus => {
  const device = (): VirtioPciFunction =>
    new VirtioPciFunction(new VirtioRng((count) => new Uint8Array(count)), {
      host,
      memory: new GuestRam(),
      setLevel: () => {},
      stopped: () => {},
    })
  const pci = new PciBus(
    new Map([
      [3, device()],
      [5, device()],
    ]),
  )
  return new MmioBus([
    { base: PCI_ECAM_BASE, size: PCI_ECAM_SIZE, device: pci.ecam },
    { base: PCI_MMIO_BASE, size: PCI_MMIO_SIZE, device: pci.window },
  ])
}

const config = (slot: number, register: number): number => PCI_ECAM_BASE + slot * 0x8000 + register
const load = (bus: MmioBus, gpa: number, length = 4): number => bus.load(gpa, length)[0] >>> 0

it('shows a bridge and its devices, and ones where nothing is', () => {
  const bus = make()
  const found = Array.from({ length: 32 }, (_, slot) => load(bus, config(slot, PciReg.VENDOR_ID)))
  expect(found.filter((id) => id !== 0xffffffff)).toEqual([0x00081b36, 0x10441af4, 0x10441af4])
  expect([found[0], found[3], found[5]]).not.toContain(0xffffffff)
  expect(load(bus, config(3, 0x1000 + PciReg.VENDOR_ID))).toBe(0xffffffff)
  expect(load(bus, config(3, PciReg.VENDOR_ID), 2)).toBe(0x1af4)
  expect(load(bus, config(3, PciReg.DEVICE_ID), 1)).toBe(0x44)
  expect(bus.load(config(3, PciReg.VENDOR_ID), 8)).toEqual([0x10441af4, PciStatus.CAPABILITIES << 16])
  expect(load(bus, config(3, PciReg.INTERRUPT_PIN), 1)).toBe(1)
  expect(load(bus, config(3, 0x100))).toBe(0)
  expect(load(bus, PCI_MMIO_BASE)).toBe(0xffffffff)
})

it('sizes a BAR by ones, and decodes it where it is placed while memory is enabled', () => {
  const bus = make()
  const bar = config(3, PciReg.BASE_ADDRESS_0)
  run(bus.store(bar, 4, -1, 0))
  expect(load(bus, bar)).toBe(0xffffc000)
  run(bus.store(bar, 4, PCI_MMIO_BASE + 0x8000, 0))
  expect(load(bus, bar)).toBe(PCI_MMIO_BASE + 0x8000)
  // The number of queues, in the common configuration.
  expect(load(bus, PCI_MMIO_BASE + 0x8012, 2)).toBe(0xffff)
  run(bus.store(config(3, PciReg.COMMAND), 2, PciCommand.MEMORY, 0))
  expect(load(bus, PCI_MMIO_BASE + 0x8012, 2)).toBe(1)
  // The other BARs and the ROM do not exist.
  for (const register of [0x14, 0x24, 0x30]) {
    run(bus.store(config(3, register), 4, -1, 0))
    expect(load(bus, config(3, register))).toBe(0)
  }
})

it('D4 keeps identity and capabilities, and ends, whatever a guest stores anywhere', () => {
  const places = fc.oneof(
    fc.nat(PCI_ECAM_SIZE - 8).map((at) => PCI_ECAM_BASE + at),
    fc
      .record({ slot: fc.constantFrom(3, 5), register: fc.nat(0xff) })
      .map((at) => config(at.slot, at.register)),
    fc.nat(0x4000).map((at) => PCI_MMIO_BASE + at),
    fc.nat(PCI_MMIO_SIZE - 8).map((at) => PCI_MMIO_BASE + at),
  )
  const access = fc.record({
    gpa: places,
    length: fc.constantFrom(1, 2, 4, 8),
    low: fc.integer(),
    high: fc.integer(),
  })
  const reference = make()
  fc.assert(
    fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
      const bus = make()
      run(bus.store(config(3, PciReg.COMMAND), 2, PciCommand.MEMORY, 0))
      run(bus.store(config(3, PciReg.BASE_ADDRESS_0), 4, PCI_MMIO_BASE, 0))
      for (const { gpa, length, low, high } of accesses) {
        const aligned = gpa - (gpa % length)
        run(bus.store(aligned, length, low, high))
        const [read] = bus.load(aligned, length)
        expect(Number.isInteger(read)).toBe(true)
      }
      for (const register of [
        PciReg.VENDOR_ID,
        PciReg.REVISION_ID,
        PciReg.SUBSYSTEM_VENDOR_ID,
        PciReg.CAPABILITY_LIST,
        0x40,
        0x50,
      ])
        expect(load(bus, config(3, register))).toBe(load(reference, config(3, register)))
    }),
  )
})
