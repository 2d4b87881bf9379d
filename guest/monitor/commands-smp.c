// smp: starts every other hart, lets all count on shared words, and parks them again.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "console.h"
#include "cpu.h"
#include "shell.h"

#define ROUNDS 100000UL
#define TIMEOUT_SECONDS 20
#define STACK_SIZE 4096

static struct cpu cpus[MAX_HARTS];
static u8 stacks[MAX_HARTS][STACK_SIZE] LAZY __attribute__((aligned(16)));

// Each on its own cache line, as far from each other's reservation as from the rest.
static u64 amo_counter __attribute__((aligned(64)));
static u64 lrsc_counter __attribute__((aligned(64)));
static u32 ready __attribute__((aligned(64)));
static u32 finished __attribute__((aligned(64)));
static u32 go __attribute__((aligned(64)));
static u64 retries[MAX_HARTS];

void secondary_start(void);

static u64 count(void) {
  u64 failed = 0;
  for (u64 i = 0; i < ROUNDS; i++) {
    u64 value, busy;
    __asm__ volatile("amoadd.d zero, %1, %0" : "+A"(amo_counter) : "r"(1UL) : "memory");
    for (;;) {
      __asm__ volatile(
          "lr.d.aq %0, %2\n"
          "addi    %0, %0, 1\n"
          "sc.d.rl %1, %0, %2\n"
          : "=&r"(value), "=&r"(busy), "+A"(lrsc_counter)::"memory");
      if (!busy) break;
      failed++;
    }
  }
  return failed;
}

static void take_part(u64 index) {
  __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) {
  }
  retries[index] = count();
  __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

/** A started hart's C entry, called by start.S; tp is its struct cpu. */
void secondary_main(void) {
  take_part((u64)(this_cpu() - cpus));
  sbi_hart_stop();
}

/** Waits for a word to reach `value`; false on ctrl-C or after the time-out. */
static bool wait_for(u32 *word, u32 value) {
  u64 start = rdtime();
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value)
    if (console_interrupted() || rdtime() - start > TIMEOUT_SECONDS * machine.timebase) return false;
  return true;
}

/** Starts the harts other than this one; returns how many take part, this one included. */
static u32 start_others(void) {
  u32 taking_part = 1;
  for (u32 i = 0; i < machine.hart_count; i++) {
    u64 id = machine.harts[i].id;
    if (id == this_cpu()->id) continue;
    cpus[i] = (struct cpu){.stack_top = (u64)(stacks[i] + STACK_SIZE), .id = id};
    i64 error = sbi_hart_start(id, (u64)secondary_start, (u64)&cpus[i]);
    if (error) print("hart %lu: %s (%ld)\n", id, sbi_error_name(error), error);
    else taking_part++;
  }
  return taking_part;
}

static void wait_until_stopped(void) {
  u64 start = rdtime();
  for (u32 i = 0; i < machine.hart_count; i++) {
    u64 id = machine.harts[i].id;
    if (id == this_cpu()->id) continue;
    while (sbi_hart_status(id) != HSM_STOPPED && rdtime() - start < machine.timebase) {
    }
    if (sbi_hart_status(id) != HSM_STOPPED) print("hart %lu has not stopped\n", id);
  }
}

void command_smp(u32 arguments, char **words) {
  (void)arguments, (void)words;
  amo_counter = lrsc_counter = 0;
  ready = finished = go = 0;
  for (u32 i = 0; i < MAX_HARTS; i++) retries[i] = 0;
  u32 harts = start_others();
  if (!wait_for(&ready, harts - 1)) {
    // Those that did come must not wait for ever.
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    print("only %u of %u harts came\nFAIL\n", ready + 1, harts);
    return;
  }
  u64 start = rdtime();
  __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
  u64 own = 0;
  for (u32 i = 0; i < machine.hart_count; i++)
    if (machine.harts[i].id == this_cpu()->id) own = i;
  take_part(own);
  bool complete = wait_for(&finished, harts);
  u64 ticks = rdtime() - start;
  wait_until_stopped();
  u64 expected = harts * ROUNDS, failed = 0;
  for (u32 i = 0; i < MAX_HARTS; i++) failed += retries[i];
  print("%u hart%s, %lu rounds each, %lu ms\n", harts, harts == 1 ? "" : "s", ROUNDS, microseconds(ticks) / 1000);
  print("  AMO counter    %lu of %lu\n", amo_counter, expected);
  print("  LR/SC counter  %lu of %lu, %lu retries\n", lrsc_counter, expected, failed);
  put(complete && amo_counter == expected && lrsc_counter == expected ? "PASS\n" : "FAIL\n");
}
