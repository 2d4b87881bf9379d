// The machine's device tree: what Linux and the monitor look for in it.
import { describe, expect, it } from 'vitest'
import { buildDeviceTree, type MachineDescription } from './device-tree.ts'
import { fdtCells, fdtFind, fdtProperty, fdtText, readFdt } from './fdt.ts'

const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
const description: MachineDescription = {
  memoryBytes: 0x8000000,
  harts: 2,
  isa: 'rv64ima_zicsr_zifencei_sstc',
  timebaseHz: 10_000_000,
  bootargs: 'console=ttyS0',
  rngSeed: seed,
  pciSlots: [],
}

const { root } = readFdt(buildDeviceTree(description))
const bytes = (path: string, name: string, tree = root): Uint8Array => {
  const value = fdtProperty(fdtFind(tree, path), name)
  if (value === undefined) throw new Error(`no ${path} ${name}`)
  return value
}
const text = (path: string, name: string): string => fdtText(bytes(path, name))
const cells = (path: string, name: string): number[] => fdtCells(bytes(path, name))

describe('device tree', () => {
  it('gives RAM, also above 4 GiB', () => {
    expect(text('/memory@80000000', 'device_type')).toBe('memory')
    expect(cells('/memory@80000000', 'reg')).toEqual([0, 0x80000000, 0, 0x8000000])
    const large = readFdt(buildDeviceTree({ ...description, memoryBytes: 0x1_4000_0000 })).root
    expect(fdtCells(bytes('/memory@80000000', 'reg', large))).toEqual([0, 0x80000000, 1, 0x40000000])
  })

  it('describes each hart', () => {
    expect(cells('/cpus', 'timebase-frequency')).toEqual([10_000_000])
    expect(fdtFind(root, '/cpus')?.children.map(({ name }) => name)).toEqual(['cpu@0', 'cpu@1'])
    expect(cells('/cpus/cpu@1', 'reg')).toEqual([1])
    expect(text('/cpus/cpu@1', 'riscv,isa')).toBe(description.isa)
    expect(text('/cpus/cpu@1', 'mmu-type')).toBe('riscv,sv39')
    expect(text('/cpus/cpu@1/interrupt-controller', 'compatible')).toBe('riscv,cpu-intc')
  })

  it('leads from the serial port through the PLIC to the harts', () => {
    const [plic] = cells('/soc/plic@c000000', 'phandle')
    expect(cells('/soc/serial@10000000', 'interrupt-parent')).toEqual([plic])
    expect(cells('/soc/serial@10000000', 'interrupts')).toEqual([10])
    const intc = [0, 1].map((hart) => cells(`/cpus/cpu@${hart}/interrupt-controller`, 'phandle')[0])
    expect(cells('/soc/plic@c000000', 'interrupts-extended')).toEqual([intc[0], 9, intc[1], 9])
    expect(new Set([plic, ...intc]).size).toBe(3)
    expect(text('/chosen', 'stdout-path')).toBe('/soc/serial@10000000')
  })

  it('names the clock, and a PCI bus only where it has devices', () => {
    expect(text('/soc/rtc@101000', 'compatible')).toBe('google,goldfish-rtc')
    expect(cells('/soc/rtc@101000', 'interrupts')).toEqual([11])
    expect(fdtFind(root, '/soc/pci@30000000')).toBeUndefined()
    const tree = readFdt(buildDeviceTree({ ...description, pciSlots: [1, 4] })).root
    const bus = '/soc/pci@30000000'
    expect(fdtText(bytes(bus, 'compatible', tree))).toBe('pci-host-ecam-generic')
    expect(fdtCells(bytes(bus, 'reg', tree))).toEqual([0, 0x30000000, 0, 0x100000])
    expect(fdtCells(bytes(bus, 'bus-range', tree))).toEqual([0, 0])
    expect(fdtCells(bytes(bus, 'ranges', tree))).toEqual([
      0x2000000, 0, 0x40000000, 0, 0x40000000, 0, 0x40000000,
    ])
    const [plic] = cells('/soc/plic@c000000', 'phandle')
    expect(fdtCells(bytes(bus, 'interrupt-map', tree))).toEqual([
      ...[1 << 11, 0, 0, 1, plic, 16],
      ...[4 << 11, 0, 0, 1, plic, 19],
    ])
  })

  it('passes command line, seed and initrd', () => {
    expect(text('/chosen', 'bootargs')).toBe('console=ttyS0')
    expect(bytes('/chosen', 'rng-seed')).toEqual(seed)
    expect(fdtProperty(fdtFind(root, '/chosen'), 'linux,initrd-start')).toBeUndefined()
    const tree = buildDeviceTree({ ...description, initrd: { start: 0x84000000, end: 0x84000123 } })
    const withInitrd = readFdt(tree).root
    expect(fdtCells(bytes('/chosen', 'linux,initrd-start', withInitrd))).toEqual([0, 0x84000000])
    expect(fdtCells(bytes('/chosen', 'linux,initrd-end', withInitrd))).toEqual([0, 0x84000123])
  })
})
