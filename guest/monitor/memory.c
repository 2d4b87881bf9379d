// The memory map and the declared state of each page of RAM.
#include "memory.h"

#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/string.h"
#include "shell.h"

#define SCRATCH 0x84000000UL
#define TRACKED_PAGES (1UL << 20) // 4 GiB of RAM

// One bit a page of RAM, counted through all ranges; set: shared. Only the part that this RAM needs is touched.
static u8 shared[TRACKED_PAGES / 8] LAZY;

extern char image_start[], image_end[];

u64 memory_size(void) {
  u64 size = 0;
  for (u32 i = 0; i < machine.ram_count; i++) size += machine.ram[i].size;
  return size;
}

u64 memory_scratch(void) {
  const struct range *ram = &machine.ram[0];
  u64 end = ram->base + ram->size;
  if (ram->base <= SCRATCH && end >= SCRATCH + SCRATCH - 0x80000000UL) return SCRATCH;
  u64 free = (u64)image_end;
  return (free + (end - free) / 2) & ~(PAGE_SIZE - 1);
}

/** Page number counted through all RAM ranges, or TRACKED_PAGES when `gpa` is not RAM. */
static u64 index_of(u64 gpa) {
  u64 before = 0;
  for (u32 i = 0; i < machine.ram_count; i++) {
    const struct range *ram = &machine.ram[i];
    if (gpa - ram->base < ram->size) {
      u64 index = before + (gpa - ram->base) / PAGE_SIZE;
      return index < TRACKED_PAGES ? index : TRACKED_PAGES;
    }
    before += ram->size / PAGE_SIZE;
  }
  return TRACKED_PAGES;
}

bool memory_is_shared(u64 gpa) {
  u64 index = index_of(gpa);
  return index < TRACKED_PAGES && (shared[index / 8] >> (index % 8)) & 1;
}

void memory_declare(u64 gpa, u64 pages, bool to_shared) {
  for (u64 i = 0; i < pages; i++) {
    u64 index = index_of(gpa + i * PAGE_SIZE);
    if (index == TRACKED_PAGES) continue;
    u8 bit = (u8)(1 << (index % 8));
    shared[index / 8] = (u8)(to_shared ? shared[index / 8] | bit : shared[index / 8] & ~bit);
  }
}

/** Bytes of the bit map that this RAM needs. */
static u64 map_bytes(void) {
  u64 pages = memory_size() / PAGE_SIZE;
  return (pages < TRACKED_PAGES ? pages : TRACKED_PAGES) / 8;
}

void memory_init(void) { memset(shared, 0, map_bytes()); }

u64 memory_shared_pages(void) {
  u64 count = 0;
  for (u64 i = 0; i < map_bytes(); i++)
    for (u32 bits = shared[i]; bits; bits &= bits - 1) count++;
  return count;
}

static void print_range(u64 base, u64 size, const char *what) {
  bool small = size < 1024 * 1024;
  print("  0x%08lx-0x%08lx  %5lu %s  %s\n", base, base + size, small ? (size + 1023) / 1024 : size >> 20,
        small ? "KiB" : "MiB", what);
}

void memory_print_map(void) {
  for (u32 i = 0; i < machine.ram_count; i++) print_range(machine.ram[i].base, machine.ram[i].size, "RAM");
  print_range((u64)image_start, (u64)(image_end - image_start), "  this monitor");
  print_range(machine.tree.base, machine.tree.size, "  device tree");
  if (machine.initrd.size) print_range(machine.initrd.base, machine.initrd.size, "  initrd");
  for (u32 i = 0; i < machine.device_count; i++)
    print_range(machine.devices[i].reg.base, machine.devices[i].reg.size, machine.devices[i].name);
}

/** Runs of pages with one declared state, range by range. */
static void print_states(void) {
  for (u32 i = 0; i < machine.ram_count; i++) {
    const struct range *ram = &machine.ram[i];
    u64 end = ram->base + ram->size;
    for (u64 from = ram->base, to; from < end; from = to) {
      bool state = memory_is_shared(from);
      for (to = from + PAGE_SIZE; to < end && memory_is_shared(to) == state; to += PAGE_SIZE) {
      }
      print("  0x%08lx-0x%08lx  %7lu pages  %s\n", from, to, (to - from) / PAGE_SIZE,
            state ? "shared" : "private");
    }
  }
}

void command_mem(u32 count, char **words) {
  (void)count, (void)words;
  memory_print_map();
  print("declared state (as this guest asked, and was granted)\n");
  print_states();
  print("scratch pages +0, +1, ... start at 0x%lx\n", memory_scratch());
}
