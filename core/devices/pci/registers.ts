// PCI configuration space: offsets and bits.
//
// Source: PCI Local Bus Specification 3.0, chapter 6; names as in Linux's include/uapi/linux/pci_regs.h.

/** Bytes of configuration space that a function without PCI Express extensions has. */
export const PCI_CONFIG_BYTES = 256

/** Byte offsets of a type 0 header. */
export const PciReg = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION_ID: 0x08,
  /** Three bytes: programming interface, subclass, class. */
  CLASS: 0x09,
  BASE_ADDRESS_0: 0x10,
  SUBSYSTEM_VENDOR_ID: 0x2c,
  SUBSYSTEM_ID: 0x2e,
  CAPABILITY_LIST: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
  /** First byte after the header. */
  HEADER_END: 0x40,
} as const

export const PciCommand = { MEMORY: 1 << 1, MASTER: 1 << 2, INTX_DISABLE: 1 << 10 } as const
export const PciStatus = { INTERRUPT: 1 << 3, CAPABILITIES: 1 << 4 } as const

/** Capability id of what only its vendor defines. */
export const PCI_CAP_ID_VENDOR = 0x09

/** Pin INTA, the one that these functions have. */
export const PCI_PIN_INTA = 1

/** What a read finds where no function is. */
export const PCI_ABSENT = 0xffffffff

/** The enhanced configuration access mechanism: where a register lies in the region (PCI Express 5.0, 7.2.2). */
export const Ecam = { DEVICE_SHIFT: 15, FUNCTION_SHIFT: 12, REGISTER_MASK: 0xfff } as const
