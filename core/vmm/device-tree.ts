// The machine's device tree, as its guest reads it.
//
// Sources: Devicetree Specification 0.4 chapter 3; Linux Documentation/devicetree/bindings/riscv/cpus.yaml,
// interrupt-controller/{riscv,cpu-intc,sifive,plic-1.0.0}.yaml, serial/8250.yaml, pci/host-generic-pci.yaml,
// rtc/google,goldfish-rtc.yaml, and chosen.yaml and pci/pci-bus-common.yaml of dt-schema.

import { DOORBELL_COMPATIBLE } from '../devices/doorbell/registers.ts'
import {
  DOORBELL_BASE,
  DOORBELL_SIZE,
  PCI_ECAM_BASE,
  PCI_ECAM_SIZE,
  PCI_MMIO_BASE,
  PCI_MMIO_SIZE,
  PLIC_BASE,
  pciIrq,
  RAM_BASE,
  RTC_BASE,
  RTC_IRQ,
  RTC_SIZE,
  UART_BASE,
  UART_IRQ,
  UART_SIZE,
} from '../devices/memory-map.ts'
import { PCI_PIN_INTA } from '../devices/pci/registers.ts'
import { PLIC_SIZE, PLIC_SOURCES } from '../devices/plic/registers.ts'
import { type FdtNode, fdtNode, u64Cells, writeFdt } from './fdt.ts'

const UART_CLOCK_HZ = 3686400
/** scause code of the supervisor external interrupt: the cpu-intc's input that the PLIC drives. */
const SUPERVISOR_EXTERNAL = 9

const PLIC_PHANDLE = 1
const cpuPhandle = (hart: number): number => 2 + hart

export interface MachineDescription {
  /** Bytes of RAM from RAM_BASE. */
  readonly memoryBytes: number
  readonly harts: number
  /** In canonical order, e.g. "rv64ima_zicsr_zifencei_sstc". */
  readonly isa: string
  /** `time` ticks per second. */
  readonly timebaseHz: number
  /** The guest's command line. */
  readonly bootargs: string
  /** Guest physical addresses of an initial RAM disk; `end` is the byte after the last. */
  readonly initrd?: { readonly start: number; readonly end: number }
  /** 32 random bytes: without them Linux waits long for its random pool. */
  readonly rngSeed: Uint8Array
  /** Slots of PCI devices with an interrupt; without any there is no bus. */
  readonly pciSlots: readonly number[]
}

/** The flattened tree (a0's companion: the guest gets its address in a1). */
export function buildDeviceTree(machine: MachineDescription): Uint8Array<ArrayBuffer> {
  return writeFdt(
    fdtNode(
      '',
      {
        '#address-cells': 2,
        '#size-cells': 2,
        compatible: 'riscv-virtio',
        model: 'gmemscope',
      },
      [chosen(machine), memory(machine), cpus(machine), soc(machine)],
    ),
  )
}

function chosen({ bootargs, initrd, rngSeed }: MachineDescription): FdtNode {
  return fdtNode('chosen', {
    bootargs,
    'stdout-path': `/soc/serial@${UART_BASE.toString(16)}`,
    'linux,initrd-start': initrd && u64Cells(initrd.start),
    'linux,initrd-end': initrd && u64Cells(initrd.end),
    'rng-seed': rngSeed,
  })
}

function memory({ memoryBytes }: MachineDescription): FdtNode {
  return fdtNode(`memory@${RAM_BASE.toString(16)}`, {
    device_type: 'memory',
    reg: [...u64Cells(RAM_BASE), ...u64Cells(memoryBytes)],
  })
}

function cpus({ harts, isa, timebaseHz }: MachineDescription): FdtNode {
  const cpu = (hart: number): FdtNode =>
    fdtNode(
      `cpu@${hart.toString(16)}`,
      {
        device_type: 'cpu',
        reg: hart,
        compatible: 'riscv',
        'riscv,isa': isa,
        'mmu-type': 'riscv,sv39',
        status: 'okay',
      },
      [
        fdtNode('interrupt-controller', {
          compatible: 'riscv,cpu-intc',
          '#interrupt-cells': 1,
          'interrupt-controller': true,
          phandle: cpuPhandle(hart),
        }),
      ],
    )
  return fdtNode(
    'cpus',
    { '#address-cells': 1, '#size-cells': 0, 'timebase-frequency': timebaseHz },
    Array.from({ length: harts }, (_, hart) => cpu(hart)),
  )
}

/** The ranges property's first cell: non-prefetchable memory of 32-bit addresses. */
const PCI_MEMORY_32 = 0x02000000
/** Where a device number stands in the first cell of a PCI address. */
const PCI_DEVICE_SHIFT = 11
/** Of a PCI address and pin, what tells interrupts apart: the device number and the pin. */
const PCI_INTERRUPT_MASK = [0xf800, 0, 0, 7]

function pci(slots: readonly number[]): FdtNode {
  return fdtNode(`pci@${PCI_ECAM_BASE.toString(16)}`, {
    compatible: 'pci-host-ecam-generic',
    device_type: 'pci',
    reg: [...u64Cells(PCI_ECAM_BASE), ...u64Cells(PCI_ECAM_SIZE)],
    '#address-cells': 3,
    '#size-cells': 2,
    '#interrupt-cells': 1,
    'bus-range': [0, 0],
    'linux,pci-domain': 0,
    'dma-coherent': true,
    ranges: [
      PCI_MEMORY_32,
      ...u64Cells(PCI_MMIO_BASE),
      ...u64Cells(PCI_MMIO_BASE),
      ...u64Cells(PCI_MMIO_SIZE),
    ],
    'interrupt-map-mask': PCI_INTERRUPT_MASK,
    // Device and pin, then the PLIC's source; the PLIC has no address cells.
    'interrupt-map': slots.flatMap((slot) => [
      slot << PCI_DEVICE_SHIFT,
      0,
      0,
      PCI_PIN_INTA,
      PLIC_PHANDLE,
      pciIrq(slot),
    ]),
  })
}

function soc({ harts, pciSlots }: MachineDescription): FdtNode {
  return fdtNode('soc', { '#address-cells': 2, '#size-cells': 2, compatible: 'simple-bus', ranges: true }, [
    fdtNode(`plic@${PLIC_BASE.toString(16)}`, {
      compatible: 'sifive,plic-1.0.0',
      reg: [...u64Cells(PLIC_BASE), ...u64Cells(PLIC_SIZE)],
      '#interrupt-cells': 1,
      '#address-cells': 0,
      'interrupt-controller': true,
      // One context per hart, numbered by the place in this list.
      'interrupts-extended': Array.from({ length: harts }, (_, hart) => [
        cpuPhandle(hart),
        SUPERVISOR_EXTERNAL,
      ]).flat(),
      'riscv,ndev': PLIC_SOURCES,
      phandle: PLIC_PHANDLE,
    }),
    fdtNode(`serial@${UART_BASE.toString(16)}`, {
      compatible: 'ns16550a',
      reg: [...u64Cells(UART_BASE), ...u64Cells(UART_SIZE)],
      'clock-frequency': UART_CLOCK_HZ,
      interrupts: UART_IRQ,
      'interrupt-parent': PLIC_PHANDLE,
      'reg-shift': 0,
    }),
    fdtNode(`doorbell@${DOORBELL_BASE.toString(16)}`, {
      compatible: DOORBELL_COMPATIBLE,
      reg: [...u64Cells(DOORBELL_BASE), ...u64Cells(DOORBELL_SIZE)],
    }),
    fdtNode(`rtc@${RTC_BASE.toString(16)}`, {
      compatible: 'google,goldfish-rtc',
      reg: [...u64Cells(RTC_BASE), ...u64Cells(RTC_SIZE)],
      interrupts: RTC_IRQ,
      'interrupt-parent': PLIC_PHANDLE,
    }),
    ...(pciSlots.length > 0 ? [pci(pciSlots)] : []),
  ])
}
