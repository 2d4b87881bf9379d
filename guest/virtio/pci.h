// PCI bus 0 through ECAM: looks for functions, places their BARs, finds virtio's structures.
#pragma once
#include "../lib/types.h"

struct pci_device {
  u64 config; // its configuration space
  u32 slot;
  u32 id; // device id in the upper, vendor id in the lower half
  u64 bars[6]; // where each was placed; 0: there is none
};

struct virtio_registers {
  u64 common, notify, isr, device;
  u32 notify_multiplier;
};

/** Finds the bus and its functions, and places the BARs; the number of functions. */
u32 pci_scan(void);
struct pci_device *pci_at(u32 index);

/** Where the structures of a modern virtio device are; false when it is none. */
bool pci_virtio(const struct pci_device *device, struct virtio_registers *registers);
