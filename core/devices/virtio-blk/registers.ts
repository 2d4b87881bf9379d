// virtio-blk: configuration, requests and limits (virtio 1.2, 5.2).

export const BLK_DEVICE_TYPE = 2
/** A mass storage controller of no other kind. */
export const BLK_CLASS_CODE = 0x018000

export const BlkFeature = { SIZE_MAX: 1, SEG_MAX: 2, BLK_SIZE: 6, FLUSH: 9 } as const

/** Byte offsets in the configuration (struct virtio_blk_config). */
export const BlkConfig = { CAPACITY: 0, SIZE_MAX: 8, SEG_MAX: 12, BLK_SIZE: 20, BYTES: 24 } as const

export const BlkRequest = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const

/** A request's header: type, reserved, sector. */
export const BLK_HEADER_BYTES = 16
/** What GET_ID returns. */
export const BLK_ID_BYTES = 20

/** The unit of capacity and positions, in bytes. */
export const SECTOR = 512

export const BLK_QUEUE_SIZE = 128
/** Buffers of data in one request: a chain less header and status. */
export const BLK_SEG_MAX = BLK_QUEUE_SIZE - 2
/** Bytes in one buffer. With the above it bounds the work of a request to 4 MiB. */
export const BLK_SIZE_MAX = 32_768
