// virtio-balloon: configuration and features (virtio 1.2, 5.5).

export const BALLOON_DEVICE_TYPE = 5
/** An unclassified device, as virtio devices without a class of their own are. */
export const BALLOON_CLASS_CODE = 0x00ff00

export const BalloonFeature = { DEFLATE_ON_OOM: 2, REPORTING: 5 } as const

/** Byte offsets in the configuration: pages the host wants to have, pages the driver has given. */
export const BalloonConfig = { NUM_PAGES: 0, ACTUAL: 4, BYTES: 8 } as const

/**
 * Queues. The specification gives the one for reporting number 4, after two of features that are not offered here;
 * Linux's driver counts only those that there are. Both are served.
 */
export const BalloonQueue = { INFLATE: 0, DEFLATE: 1, REPORTING: 2, REPORTING_BY_SPECIFICATION: 4 } as const

export const BALLOON_QUEUE_SIZE = 128

/** A page of the balloon in bytes, whatever the guest's pages are. */
export const BALLOON_PAGE = 4096

/** Bytes of page numbers in one request; Linux sends up to 1024. */
export const MAX_NUMBER_BYTES = 65_536
