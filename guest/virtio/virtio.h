// The driver's side of virtio 1.2 over PCI: bring-up, and split queues served by polling.
#pragma once
#include "pci.h"

#define QUEUE_SIZE 8
#define MAX_QUEUES 3

#define STATUS_NEEDS_RESET 0x40

#define DESC_NEXT 1
#define DESC_WRITE 2

struct buffer {
  void *at;
  u32 length;
  bool write; // by the device
};

struct descriptor {
  u64 address;
  u32 length;
  unsigned short flags, next;
};

/** A queue's three parts, in memory that the device must be able to reach. */
struct rings {
  struct descriptor descriptors[QUEUE_SIZE];
  struct {
    unsigned short flags, index, ring[QUEUE_SIZE];
  } available;
  struct {
    unsigned short flags, index;
    struct {
      u32 id, length;
    } ring[QUEUE_SIZE];
  } used __attribute__((aligned(4)));
} __attribute__((aligned(16)));

struct virtio {
  struct virtio_registers registers;
  struct rings *queues[MAX_QUEUES];
  u64 notify[MAX_QUEUES];
  unsigned short seen[MAX_QUEUES];
};

/** Resets the device and brings it up with `count` queues at `rings`; false when it will not have it. */
bool virtio_start(struct virtio *device, const struct pci_device *pci, struct rings *rings, u32 count);

/** Resets the device, which lowers its interrupt. */
void virtio_stop(const struct virtio *device);

/** Puts a request on a queue and kicks it. */
void virtio_send(struct virtio *device, u32 queue, const struct buffer *buffers, u32 count);
/** Waits for the answer: bytes the device wrote; -1: it needs a reset, or does not answer. */
i64 virtio_answer(struct virtio *device, u32 queue);
/** Both. */
i64 virtio_request(struct virtio *device, u32 queue, const struct buffer *buffers, u32 count);

u8 virtio_status(const struct virtio *device);
/** The interrupt's causes; reading lowers it. */
u8 virtio_isr(const struct virtio *device);
