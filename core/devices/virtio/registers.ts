// virtio 1.2: numbers of the transport over PCI and of split virtqueues.
//
// Source: Virtual I/O Device (VIRTIO) Version 1.2, chapters 2, 4.1 and 6; names as in Linux's
// include/uapi/linux/virtio_*.h.

/** Device status field (2.1). */
export const VirtioStatus = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const

/** The feature bit that every modern driver and device has (6). */
export const VIRTIO_F_VERSION_1 = 32

/** The vendor of every virtio device, and its PCI device id less the device type (4.1.2). */
export const VIRTIO_VENDOR_ID = 0x1af4
export const VIRTIO_DEVICE_ID_BASE = 0x1040

/** Structures that a capability locates (cfg_type, 4.1.4). */
export const VirtioCap = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const

/** Common configuration: byte offsets (struct virtio_pci_common_cfg, 4.1.4.3). */
export const CommonReg = {
  DEVICE_FEATURE_SELECT: 0x00,
  DEVICE_FEATURE: 0x04,
  DRIVER_FEATURE_SELECT: 0x08,
  DRIVER_FEATURE: 0x0c,
  CONFIG_MSIX_VECTOR: 0x10,
  NUM_QUEUES: 0x12,
  DEVICE_STATUS: 0x14,
  CONFIG_GENERATION: 0x15,
  QUEUE_SELECT: 0x16,
  QUEUE_SIZE: 0x18,
  QUEUE_MSIX_VECTOR: 0x1a,
  QUEUE_ENABLE: 0x1c,
  QUEUE_NOTIFY_OFF: 0x1e,
  QUEUE_DESC: 0x20,
  QUEUE_DRIVER: 0x28,
  QUEUE_DEVICE: 0x30,
} as const

/** Bytes of the common configuration. */
export const COMMON_BYTES = 0x38

/** "No vector": what the vector registers of a device without MSI-X say. */
export const VIRTIO_MSI_NO_VECTOR = 0xffff

/** ISR status (4.1.4.5). Reading it clears it and lowers the interrupt. */
export const VirtioIsr = { QUEUE: 1, CONFIG: 2 } as const

/** Descriptor flags (2.7.5). */
export const DescFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const
export const DESCRIPTOR_BYTES = 16

/** Flag of the available ring: the driver wants no interrupt for used buffers (2.7.6). */
export const AVAIL_NO_INTERRUPT = 1
/** Where the rings' index and entries begin; entry sizes in bytes (2.7.6, 2.7.8). */
export const RING_INDEX = 2
export const RING_ENTRIES = 4
export const AVAIL_ENTRY_BYTES = 2
export const USED_ENTRY_BYTES = 8
