// Which of the Debian kernel's modules the guest gets: drivers for the machine's virtio devices.
//
// The kernel's package has no modules.dep (depmod makes it when the package is installed), so what a driver needs
// is written here, in the order in which it must be inserted; /init inserts a list when its device is there.

/** List name, as /init knows it, to module names (file names without `.ko.xz`). */
export const moduleLists: Readonly<Record<string, readonly string[]>> = {
  virtio_mmio: ['virtio_mmio'],
  net: ['failover', 'net_failover', 'virtio_net'],
  block: ['virtio_blk'],
  rng: ['virtio-rng'],
  balloon: ['virtio_balloon'],
}

export const moduleNames: readonly string[] = Object.values(moduleLists).flat()
