// Where everything goes in guest RAM: kernel, initial RAM disk, device tree. Decided before a byte is copied.
//
// Kernel where its format says; device tree at the top of RAM, RAM disk below it, both 2 MiB aligned, as far
// as possible from a kernel that grows upwards.

import { RAM_BASE } from '../devices/memory-map.ts'
import { TIMEBASE_HZ } from '../engine/vcpu-block.ts'
import { buildDeviceTree } from './device-tree.ts'
import { readElf, type Segment } from './elf.ts'
import { detectFormat, readLinuxImage } from './image.ts'
import { LoadError } from './load-error.ts'

/** What the guest is made of. */
export interface GuestSource {
  readonly kernel: Uint8Array
  readonly initrd?: Uint8Array
  readonly append: string
  readonly ramBytes: number
  readonly vcpus: number
  /** 32 random bytes for the guest's random pool. */
  readonly rngSeed: Uint8Array
  /** Slots of PCI devices; none, and there is no bus. */
  readonly pciSlots: readonly number[]
}

export interface GuestPlacement {
  /** Guest physical address of the first instruction. */
  readonly entry: number
  /** Guest physical address of the device tree (a1). */
  readonly deviceTree: number
  /** Its size. */
  readonly deviceTreeBytes: number
  /** Everything to be copied into RAM, none overlapping. */
  readonly segments: readonly Segment[]
}

/** What the engine implements, in the canonical order that Linux insists on. */
const ISA = 'rv64imafdc_zicbom_zicboz_zicond_zicsr_zifencei_zihintpause_zba_zbb_zbs_sstc_svinval'
const ALIGN = 0x200000
/** An ELF file that can run anywhere goes where a Linux Image would. */
const KERNEL_BIAS = RAM_BASE + ALIGN

const alignDown = (address: number): number => Math.floor(address / ALIGN) * ALIGN

const MIB = 0x100000
const hex = (value: number): string => `0x${value.toString(16)}`

const placeKernel = (file: Uint8Array): { entry: number; segments: readonly Segment[] } => {
  if (detectFormat(file) === 'linux-image') {
    const image = readLinuxImage(file)
    const gpa = RAM_BASE + image.textOffset
    return { entry: gpa, segments: [{ gpa, data: image.data, memSize: image.imageSize }] }
  }
  return readElf(file, KERNEL_BIAS)
}

const end = (segment: Segment): number => segment.gpa + segment.memSize

/** Plans the guest's RAM. Throws LoadError when an image is malformed or something does not fit. */
export const placeGuest = (source: GuestSource): GuestPlacement => {
  const top = RAM_BASE + source.ramBytes
  const kernel = placeKernel(source.kernel)
  for (const segment of kernel.segments)
    if (segment.gpa < RAM_BASE || end(segment) > top)
      throw new LoadError(
        'load address',
        0,
        `the image takes ${hex(segment.gpa)} to ${hex(end(segment))}, RAM is ${hex(RAM_BASE)} to ${hex(top)} (${source.ramBytes / MIB} MiB): give the machine more RAM`,
      )
  const deviceTreeGpa = alignDown(top - ALIGN)
  const initrdStart = source.initrd ? alignDown(deviceTreeGpa - source.initrd.length) : deviceTreeGpa
  const kernelEnd = Math.max(...kernel.segments.map(end))
  if (kernelEnd > initrdStart)
    throw new LoadError(
      'size',
      0,
      `kernel (to ${hex(kernelEnd)}) and RAM disk (from ${hex(initrdStart)}) overlap: give the machine more RAM than ${source.ramBytes / MIB} MiB`,
    )
  const deviceTree = buildDeviceTree({
    memoryBytes: source.ramBytes,
    harts: source.vcpus,
    isa: ISA,
    timebaseHz: TIMEBASE_HZ,
    bootargs: source.append,
    rngSeed: source.rngSeed,
    pciSlots: source.pciSlots,
    ...(source.initrd ? { initrd: { start: initrdStart, end: initrdStart + source.initrd.length } } : {}),
  })
  const extra: Segment[] = [{ gpa: deviceTreeGpa, data: deviceTree, memSize: deviceTree.length }]
  if (source.initrd) extra.push({ gpa: initrdStart, data: source.initrd, memSize: source.initrd.length })
  return {
    entry: kernel.entry,
    deviceTree: deviceTreeGpa,
    deviceTreeBytes: deviceTree.length,
    segments: [...kernel.segments, ...extra],
  }
}
