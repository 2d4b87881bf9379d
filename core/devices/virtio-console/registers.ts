// virtio-console: configuration, queues and sizes (virtio 1.2, 5.3).

import { byteRingSize } from '../byte-ring.ts'

export const CONSOLE_DEVICE_TYPE = 3
/** A communication controller of no other kind. */
export const CONSOLE_CLASS_CODE = 0x078000

export const ConsoleFeature = { SIZE: 0 } as const

/** Byte offsets in the configuration (struct virtio_console_config). */
export const ConsoleConfig = { COLUMNS: 0, ROWS: 2, BYTES: 12 } as const

export const ConsoleQueue = { RECEIVE: 0, TRANSMIT: 1 } as const
export const CONSOLE_QUEUE_SIZE = 64

/** Host to guest, in bytes: a long paste fits; more waits at the sender. */
export const CONSOLE_INPUT_BYTES = 4096
/** Guest to host: as much as the serial port's. */
export const CONSOLE_OUTPUT_BYTES = 65_536

/** Bytes of shared memory that the output's ring takes. */
export const CONSOLE_RING_BYTES = byteRingSize(CONSOLE_OUTPUT_BYTES)
