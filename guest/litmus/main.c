// Memory-model and fence tests on two harts. One line a test: how often each outcome was seen, and the verdict
// by RVWMO (RISC-V Unprivileged ISA, chapter "RVWMO Memory Consistency Model"). Ends by system reset: reason 0
// when all passed, 1 otherwise.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/uart.h"
#include "pair.h"

// Rounds run in batches over arrays, meeting only between batches: the two sides drift across each other, so
// many more interleavings occur than with a barrier before each round.
#define BATCH 256
#define BATCHES 100
#define LOCK_ROUNDS 50000UL
#define FENCE_ROUNDS 1000
#define PATCH_ROUNDS 1000

static struct cell {
  u64 x __attribute__((aligned(64)));
  u64 y __attribute__((aligned(64)));
  u64 r[2] __attribute__((aligned(64)));
} cells[BATCH];

static u64 outcomes[4]; // by r0 * 2 + r1
static bool all_passed = true;

static void verdict(bool passed) {
  print(" %s\n", passed ? "PASS" : "FAIL");
  if (!passed) all_passed = false;
}

#define STORE(place, value) __asm__ volatile("sd %1, %0" : "=m"(place) : "r"((u64)(value)) : "memory")
#define LOAD(place)                                               \
  ({                                                              \
    u64 loaded_;                                                  \
    __asm__ volatile("ld %0, %1" : "=r"(loaded_) : "m"(place) : "memory"); \
    loaded_;                                                      \
  })

/** Runs one side over all batches; side 0 clears before and counts after each. */
#define SIDES(name, body0, body1)                                  \
  static void name(u32 side) {                                     \
    for (u32 batch = 0; batch < BATCHES; batch++) {                \
      if (side == 0)                                               \
        for (u32 i = 0; i < BATCH; i++) cells[i] = (struct cell){0}; \
      pair_meet(side);                                             \
      for (u32 i = 0; i < BATCH; i++) {                            \
        struct cell *cell = &cells[i];                             \
        if (side == 0) {                                           \
          body0;                                                   \
        } else {                                                   \
          body1;                                                   \
        }                                                          \
      }                                                            \
      pair_meet(side);                                             \
      if (side == 0)                                               \
        for (u32 i = 0; i < BATCH; i++) outcomes[cells[i].r[0] * 2 + cells[i].r[1]]++; \
    }                                                              \
  }

#define STORE_FENCE __asm__ volatile("fence w, w" ::: "memory")
#define LOAD_FENCE __asm__ volatile("fence r, r" ::: "memory")
#define FULL_FENCE __asm__ volatile("fence rw, rw" ::: "memory")

// Message passing: side 1 sees the flag; does it see the data?
SIDES(mp, STORE(cell->x, 1); STORE(cell->y, 1), cell->r[0] = LOAD(cell->y); cell->r[1] = LOAD(cell->x))
SIDES(mp_fence, STORE(cell->x, 1); STORE_FENCE; STORE(cell->y, 1), cell->r[0] = LOAD(cell->y); LOAD_FENCE;
      cell->r[1] = LOAD(cell->x))

// Store buffering: each stores its own and loads the other's; may both miss?
SIDES(sb, STORE(cell->x, 1); cell->r[0] = LOAD(cell->y), STORE(cell->y, 1); cell->r[1] = LOAD(cell->x))
SIDES(sb_fence, STORE(cell->x, 1); FULL_FENCE; cell->r[0] = LOAD(cell->y), STORE(cell->y, 1); FULL_FENCE;
      cell->r[1] = LOAD(cell->x))

/** `forbidden`: an outcome that must not occur, or -1. */
static void histogram(const char *name, void (*part)(u32), i32 forbidden) {
  for (u32 i = 0; i < 4; i++) outcomes[i] = 0;
  pair_run(part);
  print("%-10s 00:%lu 01:%lu 10:%lu 11:%lu", name, outcomes[0], outcomes[1], outcomes[2], outcomes[3]);
  verdict(outcomes[0] + outcomes[1] + outcomes[2] + outcomes[3] == BATCH * BATCHES &&
          (forbidden < 0 || outcomes[forbidden] == 0));
}

static u64 counter __attribute__((aligned(64)));

static void lrsc(u32 side) {
  (void)side;
  for (u64 i = 0; i < LOCK_ROUNDS; i++) {
    u64 value, busy;
    __asm__ volatile(
        "1: lr.d.aq %0, %2\n"
        "   addi    %0, %0, 1\n"
        "   sc.d.rl %1, %0, %2\n"
        "   bnez    %1, 1b\n"
        : "=&r"(value), "=&r"(busy), "+A"(counter)::"memory");
  }
}

static void lock_test(void) {
  pair_run(lrsc);
  print("LR/SC      %lu of %lu", counter, 2 * LOCK_ROUNDS);
  verdict(counter == 2 * LOCK_ROUNDS);
}

static u32 fences_done[2];

/** Each side fences the other in a tight loop: neither may wait for the other while it is being waited for. */
static void fence_each_other(u32 side) {
  u64 mask = pair_other_mask(side);
  for (u32 i = 0; i < FENCE_ROUNDS; i++)
    if (!sbi_remote_fence_i(mask) && !sbi_remote_sfence_vma(mask, 0, ~0UL)) fences_done[side]++;
}

static void fence_test(void) {
  u64 start = rdtime();
  pair_run(fence_each_other);
  u64 us = (rdtime() - start) * 1000000 / machine.timebase;
  print("RFENCE     %u+%u of %u+%u, %lu us", fences_done[0], fences_done[1], FENCE_ROUNDS, FENCE_ROUNDS, us);
  verdict(fences_done[0] == FENCE_ROUNDS && fences_done[1] == FENCE_ROUNDS);
}

// `li a0, n; ret`, rewritten by side 0 and run by side 1.
static u32 code[2] __attribute__((aligned(64)));
static u32 stale;

static void patch(u32 side) {
  for (u32 n = 1; n <= PATCH_ROUNDS; n++) {
    if (side == 0) {
      *(volatile u32 *)&code[0] = n << 20 | 0x00000513; // addi a0, zero, n
      *(volatile u32 *)&code[1] = 0x00008067;           // ret
      fence();
      sbi_remote_fence_i(pair_other_mask(0));
    }
    pair_meet(side);
    if (side == 1 && ((u64(*)(void))code)() != n) stale++;
    pair_meet(side);
  }
}

static void patch_test(void) {
  pair_run(patch);
  print("FENCE.I    %u stale of %u", stale, PATCH_ROUNDS);
  verdict(stale == 0);
}

/** An unexpected trap ends everything. */
void trap(void) {
  print("\ntrap: scause 0x%lx, sepc 0x%lx, stval 0x%lx\nlitmus: FAIL\n", csr_read(scause), csr_read(sepc),
        csr_read(stval));
  sbi_reset(SRST_SHUTDOWN, SRST_REASON_FAILURE);
  for (;;) wfi();
}

/** Called by start.S on the boot hart. */
void litmus_main(u64 hart, const void *tree) {
  if (machine_read(tree) && machine.uart) {
    uart_init(machine.uart);
    print("litmus: two harts, %u rounds each\n", BATCH * BATCHES);
    if (pair_start(hart)) {
      histogram("MP", mp, -1);
      histogram("MP+fence", mp_fence, 2);
      histogram("SB", sb, -1);
      histogram("SB+fence", sb_fence, 0);
      lock_test();
      fence_test();
      patch_test();
    } else {
      put("no second hart\n");
      all_passed = false;
    }
    print("litmus: %s\n", all_passed ? "PASS" : "FAIL");
  } else {
    all_passed = false;
  }
  sbi_reset(SRST_SHUTDOWN, all_passed ? SRST_REASON_NONE : SRST_REASON_FAILURE);
}
