// The second hart runs whatever function the first one publishes, between two barriers.
#include "pair.h"

#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"

void second_start(void);

static u64 harts[2];
static void (*current)(u32 side);

// Each side counts its own arrivals, on a cache line of its own, and waits for the other's.
static struct {
  u32 count;
} __attribute__((aligned(64))) arrivals[2];

void pair_meet(u32 side) {
  u32 mine = arrivals[side].count + 1;
  __atomic_store_n(&arrivals[side].count, mine, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&arrivals[!side].count, __ATOMIC_SEQ_CST) < mine) {
  }
}

void pair_run(void (*part)(u32 side)) {
  current = part;
  pair_meet(0);
  part(0);
  pair_meet(0);
}

/** The second hart's C entry: called by start.S. */
void second_main(void) {
  for (;;) {
    pair_meet(1);
    current(1);
    pair_meet(1);
  }
}

u64 pair_other_mask(u32 side) { return 1UL << harts[!side]; }

bool pair_start(u64 boot_hart) {
  harts[0] = boot_hart;
  for (u32 i = 0; i < machine.hart_count; i++) {
    if (machine.harts[i].id == boot_hart) continue;
    harts[1] = machine.harts[i].id;
    i64 error = sbi_hart_start(harts[1], (u64)second_start, 0);
    if (!error) return true;
    print("hart %lu: %s\n", harts[1], sbi_error_name(error));
  }
  return false;
}
