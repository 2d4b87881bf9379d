// Drives each virtio device that the machine has over PCI, as a driver that polls, and then breaks the rules on
// purpose. A line a check; ends by system reset: reason 0 when all passed, 1 otherwise.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/string.h"
#include "../lib/uart.h"
#include "mmio.h"
#include "virtio.h"

#define VIRTIO_CONSOLE 0x1043
#define VIRTIO_BLK 0x1042
#define VIRTIO_RNG 0x1044
#define VIRTIO_BALLOON 0x1045

#define SECTOR 512
#define BLK_IN 0
#define BLK_OUT 1
#define BLK_FLUSH 4
#define BLK_OK 0
#define BLK_IOERR 1

#define BALLOON_PAGES 32

// What devices reach: on a machine whose memory is private it is shared with the host.
static struct dma {
  struct rings rings[MAX_QUEUES];
  u8 data[4 * PAGE_SIZE];
  struct {
    u32 type, reserved;
    u64 sector;
  } header;
  u8 status;
  u32 pages[BALLOON_PAGES];
} __attribute__((aligned(PAGE_SIZE))) dma LAZY; // whole pages, nothing else in them

static u8 balloon[BALLOON_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))) LAZY;

static struct virtio device;
static bool all_passed = true;

static void check(const char *what, bool passed) {
  print("  %-44s %s\n", what, passed ? "PASS" : "FAIL");
  if (!passed) all_passed = false;
}

// The interrupt controller, asked rather than waited for: every source may interrupt, none does.
static u64 plic_context(u64 hart) {
  struct hart *found = machine_hart(hart);
  return found && found->plic_context >= 0 ? (u64)found->plic_context : 0;
}

static u64 plic_claim_register;

static void plic_open(u64 hart) {
  u64 context = plic_context(hart);
  for (u32 source = 1; source < 64; source++) write32(machine.plic + 4 * source, 1);
  for (u32 word = 0; word < 2; word++) write32(machine.plic + 0x2000 + 0x80 * context + 4 * word, ~0U);
  write32(machine.plic + 0x200000 + 0x1000 * context, 0);
  plic_claim_register = machine.plic + 0x200004 + 0x1000 * context;
}

/** A request ended: exactly one source interrupts, until the device's causes are read. */
static void check_interrupt(void) {
  u32 source = read32(plic_claim_register);
  u8 causes = virtio_isr(&device);
  if (source) write32(plic_claim_register, source);
  check("interrupts once", source != 0 && causes == 1 && read32(plic_claim_register) == 0);
}

/** Frees the claims of what went before, which nobody waited for. */
static void quiet(void) {
  virtio_isr(&device);
  for (u32 source; (source = read32(plic_claim_register));) write32(plic_claim_register, source);
}

static bool start(const struct pci_device *pci, u32 queues) {
  bool started = virtio_start(&device, pci, dma.rings, queues);
  if (started) quiet();
  return started;
}

static void rng_test(const struct pci_device *pci) {
  check("starts", start(pci, 1));
  struct buffer buffer = {dma.data, 64, true};
  memset(dma.data, 0, 64);
  i64 length = virtio_request(&device, 0, &buffer, 1);
  u32 distinct = 0;
  for (i64 i = 1; i < length; i++) distinct += dma.data[i] != dma.data[0];
  check("gives random bytes", length > 0 && distinct > 16);
  check_interrupt();
}

/** One request; its status, or -1. */
static i32 disk(u32 type, u64 sector, u32 length) {
  dma.header.type = type;
  dma.header.sector = sector;
  dma.status = 0xff;
  struct buffer buffers[] = {{&dma.header, 16, false}, {dma.data, length, type == BLK_IN}, {&dma.status, 1, true}};
  if (!length) buffers[1] = buffers[2];
  if (virtio_request(&device, 0, buffers, length ? 3 : 2) < 0) return -1;
  return *(volatile u8 *)&dma.status;
}

static void blk_test(const struct pci_device *pci) {
  check("starts", start(pci, 1));
  u64 sectors = read32(device.registers.device) | (u64)read32(device.registers.device + 4) << 32;
  print("  %lu sectors\n", sectors);
  check("reads", disk(BLK_IN, 0, 4 * SECTOR) == BLK_OK);
  check_interrupt();
  dma.data[32] = 0;
  print("  begins with \"%s\"\n", (const char *)dma.data);
  for (u32 i = 0; i < 2 * SECTOR; i++) dma.data[i] = (u8)(i * 7);
  check("writes", disk(BLK_OUT, 1, 2 * SECTOR) == BLK_OK);
  check("flushes", disk(BLK_FLUSH, 0, 0) == BLK_OK);
  memset(dma.data, 0, 2 * SECTOR);
  bool same = disk(BLK_IN, 1, 2 * SECTOR) == BLK_OK;
  for (u32 i = 0; i < 2 * SECTOR; i++) same = same && dma.data[i] == (u8)(i * 7);
  check("reads what it wrote", same);
  check("answers an error past the end", disk(BLK_IN, sectors, SECTOR) == BLK_IOERR);
}

/** Pages that were given back hold zeroes, or, where the host could not take them, what was there: all alike. */
static void check_given(u8 filled) {
  u64 zeroes = 0, kept = 0, looks = sizeof balloon / 64;
  for (u64 at = 0; at < sizeof balloon; at += 64) {
    zeroes += balloon[at] == 0;
    kept += balloon[at] == filled;
  }
  print("  the host %s\n", zeroes == looks ? "took them" : "left them");
  check("finds zeroes there, or what was there", zeroes == looks || kept == looks);
}

static void balloon_test(const struct pci_device *pci) {
  check("starts", start(pci, 3));
  memset(balloon, 0xb5, sizeof balloon);
  for (u32 i = 0; i < BALLOON_PAGES; i++) dma.pages[i] = (u32)(((u64)balloon >> 12) + i);
  struct buffer list = {dma.pages, sizeof dma.pages, false};
  check("inflates", virtio_request(&device, 0, &list, 1) == 0);
  check_interrupt();
  check("deflates", virtio_request(&device, 1, &list, 1) == 0);
  check_given(0xb5);
  memset(balloon, 0xb6, sizeof balloon);
  struct buffer free = {balloon, sizeof balloon, true};
  check("reports free pages", virtio_request(&device, 2, &free, 1) == 0);
  check_given(0xb6);
}

static void console_test(const struct pci_device *pci) {
  static const char greeting[] = "hello from virtio-console\r\n";
  check("starts", start(pci, 2));
  memcpy(dma.data, greeting, sizeof greeting);
  struct buffer out = {dma.data, sizeof greeting - 1, false};
  check("prints", virtio_request(&device, 1, &out, 1) == 0);
  check_interrupt();
  print("  %u x %u\n", read16(device.registers.device), read16(device.registers.device + 2));
}

static bool needs_reset(void) {
  return virtio_status(&device) & STATUS_NEEDS_RESET;
}

/** Queues that no device may follow; each time the device stops, and a reset makes it good again. */
static void hostile_test(const struct pci_device *pci) {
  struct buffer good = {dma.data, 16, true};
  struct buffer nowhere = {(void *)~0xfffUL, 16, true};
  start(pci, 1);
  virtio_request(&device, 0, &nowhere, 1);
  check("stops over an address that is no RAM", needs_reset());
  start(pci, 1);
  virtio_send(&device, 0, &good, 1);
  virtio_answer(&device, 0);
  dma.rings[0].descriptors[0].flags = DESC_NEXT | DESC_WRITE;
  dma.rings[0].descriptors[0].next = 0;
  dma.rings[0].available.index++;
  io_fence();
  write16(device.notify[0], 0);
  check("stops over a chain that is a loop", needs_reset());
  start(pci, 1);
  dma.rings[0].available.index = 1000;
  io_fence();
  write16(device.notify[0], 0);
  check("stops over a ring that overflows", needs_reset());
  check("works again after a reset", start(pci, 1) && virtio_request(&device, 0, &good, 1) > 0);
}

/** While its memory is private a guest's queues are out of the host's reach: then they are shared. */
static void private_test(const struct pci_device *pci) {
  struct buffer buffer = {dma.data, 16, true};
  start(pci, 1);
  bool reached = virtio_request(&device, 0, &buffer, 1) > 0;
  if (!reached) {
    // A host that may take lent memory takes the queues, and finds nothing in them.
    print("  %s\n", needs_reset() ? "stops over queues in private memory" : "no answer: the host took the queues");
    check("shares its queues", sbi_share((u64)&dma, sizeof dma) == 0);
  }
  virtio_stop(&device);
}

/** An unexpected trap ends everything. */
void trap(void) {
  print("\ntrap: scause 0x%lx, sepc 0x%lx, stval 0x%lx\nvirtio: FAIL\n", csr_read(scause), csr_read(sepc),
        csr_read(stval));
  sbi_reset(SRST_SHUTDOWN, SRST_REASON_FAILURE);
  for (;;) wfi();
}

static void test(const struct pci_device *pci) {
  switch (pci->id >> 16) {
    case VIRTIO_RNG:
      print("slot %u: virtio-rng\n", pci->slot);
      rng_test(pci);
      hostile_test(pci);
      break;
    case VIRTIO_BLK:
      print("slot %u: virtio-blk\n", pci->slot);
      blk_test(pci);
      break;
    case VIRTIO_BALLOON:
      print("slot %u: virtio-balloon\n", pci->slot);
      balloon_test(pci);
      break;
    case VIRTIO_CONSOLE:
      print("slot %u: virtio-console\n", pci->slot);
      console_test(pci);
      break;
    default:
      print("slot %u: device 0x%x of vendor 0x%x\n", pci->slot, pci->id >> 16, pci->id & 0xffff);
  }
}

/** Called by start.S on the boot hart. */
void virtio_main(u64 hart, const void *tree) {
  if (machine_read(tree) && machine.uart) {
    uart_init(machine.uart);
    plic_open(hart);
    u32 count = pci_scan();
    print("virtio: %u functions on the bus\n", count);
    for (u32 i = 0; i < count; i++)
      if (pci_at(i)->id >> 16 == VIRTIO_RNG && sbi_probe(SBI_COVG)) private_test(pci_at(i));
    for (u32 i = 0; i < count; i++) {
      test(pci_at(i));
      virtio_stop(&device);
    }
    if (count == 0) all_passed = false;
    print("virtio: %s\n", all_passed ? "PASS" : "FAIL");
  } else {
    all_passed = false;
  }
  sbi_reset(SRST_SHUTDOWN, all_passed ? SRST_REASON_NONE : SRST_REASON_FAILURE);
}
