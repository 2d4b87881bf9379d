#include "pci.h"

#include "../lib/machine.h"
#include "../lib/string.h"
#include "mmio.h"

#define VENDOR_ID 0x00
#define COMMAND 0x04
#define COMMAND_MEMORY_MASTER 6
#define BAR0 0x10
#define CAPABILITIES 0x34
#define SLOTS 32
#define SLOT_BYTES 0x8000
#define MAX_DEVICES_FOUND 8

#define BAR_IO 1
#define BAR_64 4
#define BAR_FLAGS 0xf

// Addresses for BARs, here as on QEMU's virt machine.
#define WINDOW_BASE 0x40000000UL

#define VIRTIO_VENDOR 0x1af4
#define VENDOR_SPECIFIC 9

static struct pci_device devices[MAX_DEVICES_FOUND];
static u32 device_count;
static u64 next_address = WINDOW_BASE;

static void place_bars(struct pci_device *device) {
  for (u32 i = 0; i < 6; i++) {
    u64 at = device->config + BAR0 + 4 * i;
    write32(at, ~0U);
    u32 mask = read32(at);
    if (mask == 0 || mask & BAR_IO) continue;
    u64 size = (u32)-(mask & ~BAR_FLAGS);
    next_address = (next_address + size - 1) & ~(size - 1);
    device->bars[i] = next_address;
    next_address += size;
    write32(at, (u32)device->bars[i]);
    if (mask & BAR_64) {
      write32(at + 4, 0);
      i++;
    }
  }
  write16(device->config + COMMAND, COMMAND_MEMORY_MASTER);
}

u32 pci_scan(void) {
  u64 ecam = 0;
  for (u32 i = 0; i < machine.device_count; i++)
    if (starts_with(machine.devices[i].name, "pci@")) ecam = machine.devices[i].reg.base;
  for (u32 slot = 0; ecam && slot < SLOTS && device_count < MAX_DEVICES_FOUND; slot++) {
    u64 config = ecam + slot * SLOT_BYTES;
    u32 id = read32(config + VENDOR_ID);
    if (id == ~0U) continue;
    struct pci_device *device = &devices[device_count++];
    *device = (struct pci_device){.config = config, .slot = slot, .id = id};
    if ((id & 0xffff) == VIRTIO_VENDOR) place_bars(device);
  }
  return device_count;
}

struct pci_device *pci_at(u32 index) {
  return index < device_count ? &devices[index] : NULL;
}

bool pci_virtio(const struct pci_device *device, struct virtio_registers *registers) {
  *registers = (struct virtio_registers){0};
  if ((device->id & 0xffff) != VIRTIO_VENDOR) return false;
  for (u64 at = device->config + read8(device->config + CAPABILITIES); at != device->config;
       at = device->config + read8(at + 1)) {
    if (read8(at) != VENDOR_SPECIFIC || read8(at + 4) > 5) continue;
    u64 structure = device->bars[read8(at + 4)] + read32(at + 8);
    switch (read8(at + 3)) {
      case 1: registers->common = structure; break;
      case 2:
        registers->notify = structure;
        registers->notify_multiplier = read32(at + 16);
        break;
      case 3: registers->isr = structure; break;
      case 4: registers->device = structure; break;
    }
  }
  return registers->common && registers->notify && registers->isr;
}
