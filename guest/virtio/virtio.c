#include "virtio.h"

#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/string.h"
#include "mmio.h"

#define FEATURE_SELECT 0x08
#define FEATURE 0x0c
#define STATUS 0x14
#define QUEUE_SELECT 0x16
#define QUEUE_LENGTH 0x18
#define QUEUE_ENABLE 0x1c
#define QUEUE_NOTIFY 0x1e
#define QUEUE_DESCRIPTORS 0x20
#define QUEUE_AVAILABLE 0x28
#define QUEUE_USED 0x30
#define OFFERED_SELECT 0x00
#define OFFERED 0x04

#define ACKNOWLEDGE 1
#define DRIVER 2
#define DRIVER_OK 4
#define FEATURES_OK 8
#define VERSION_1 1 // in the second word

#define PATIENCE_SECONDS 2

static void write64(u64 at, u64 value) {
  write32(at, (u32)value);
  write32(at + 4, (u32)(value >> 32));
}

bool virtio_start(struct virtio *device, const struct pci_device *pci, struct rings *rings, u32 count) {
  *device = (struct virtio){0};
  if (!pci_virtio(pci, &device->registers)) return false;
  u64 common = device->registers.common;
  write8(common + STATUS, 0);
  while (read8(common + STATUS)) continue;
  write8(common + STATUS, ACKNOWLEDGE | DRIVER);
  // All of what is offered in the first word but what changes the queues' layout, which is in the second.
  write32(common + OFFERED_SELECT, 0);
  u32 offered = read32(common + OFFERED) & 0x00ffffff;
  write32(common + FEATURE_SELECT, 0);
  write32(common + FEATURE, offered);
  write32(common + FEATURE_SELECT, 1);
  write32(common + FEATURE, VERSION_1);
  write8(common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  if (!(read8(common + STATUS) & FEATURES_OK)) return false;
  memset(rings, 0, count * sizeof *rings);
  for (u32 i = 0; i < count; i++) {
    device->queues[i] = &rings[i];
    write16(common + QUEUE_SELECT, i);
    write16(common + QUEUE_LENGTH, QUEUE_SIZE);
    write64(common + QUEUE_DESCRIPTORS, (u64)rings[i].descriptors);
    write64(common + QUEUE_AVAILABLE, (u64)&rings[i].available);
    write64(common + QUEUE_USED, (u64)&rings[i].used);
    device->notify[i] = device->registers.notify + read16(common + QUEUE_NOTIFY) * device->registers.notify_multiplier;
    write16(common + QUEUE_ENABLE, 1);
  }
  write8(common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  return true;
}

void virtio_stop(const struct virtio *device) {
  if (device->registers.common) write8(device->registers.common + STATUS, 0);
}

void virtio_send(struct virtio *device, u32 queue, const struct buffer *buffers, u32 count) {
  struct rings *rings = device->queues[queue];
  for (u32 i = 0; i < count; i++)
    rings->descriptors[i] = (struct descriptor){
        .address = (u64)buffers[i].at,
        .length = buffers[i].length,
        .flags = (buffers[i].write ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0),
        .next = i + 1,
    };
  rings->available.ring[rings->available.index % QUEUE_SIZE] = 0;
  io_fence();
  rings->available.index++;
  io_fence();
  write16(device->notify[queue], queue);
}

i64 virtio_answer(struct virtio *device, u32 queue) {
  struct rings *rings = device->queues[queue];
  volatile unsigned short *index = &rings->used.index;
  u64 end = rdtime() + PATIENCE_SECONDS * machine.timebase;
  while (*index == device->seen[queue])
    if (virtio_status(device) & STATUS_NEEDS_RESET || rdtime() > end) return -1;
  io_fence();
  return rings->used.ring[device->seen[queue]++ % QUEUE_SIZE].length;
}

i64 virtio_request(struct virtio *device, u32 queue, const struct buffer *buffers, u32 count) {
  virtio_send(device, queue, buffers, count);
  return virtio_answer(device, queue);
}

u8 virtio_status(const struct virtio *device) {
  return read8(device->registers.common + STATUS);
}

u8 virtio_isr(const struct virtio *device) {
  return read8(device->registers.isr);
}
