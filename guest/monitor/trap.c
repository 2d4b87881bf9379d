// Traps: external interrupts feed the console; an exception ends the command that caused it.
#include "../lib/csr.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "console.h"
#include "cpu.h"

struct cpu boot_cpu;

const char *trap_cause_name(u64 cause) {
  static const char *const names[] = {
      "instruction address misaligned", "instruction access fault", "illegal instruction", "breakpoint",
      "load address misaligned",        "load access fault",        "store address misaligned",
      "store access fault",             "call from U",              "call from S",
      "reserved",                       "call from M",              "instruction page fault",
      "load page fault",                "reserved",                 "store page fault",
  };
  return cause < COUNT(names) ? names[cause] : "unknown exception";
}

void trap_print(void) {
  const struct trap_info *last = &this_cpu()->last;
  print("%s (scause %lu), sepc 0x%lx, stval 0x%lx\n", trap_cause_name(last->cause), last->cause, last->pc,
        last->value);
}

/** Called by start.S with interrupts off; returns to the interrupted code. */
void trap(void) {
  u64 cause = csr_read(scause);
  struct cpu *cpu = this_cpu();
  if (cause == (SCAUSE_INTERRUPT | IRQ_S_EXTERNAL)) {
    console_interrupt();
    return;
  }
  cpu->last = (struct trap_info){cause, csr_read(sepc), csr_read(stval)};
  if (cpu->guard) guard_leave(cpu->guard);
  print("\nhart %lu: ", cpu->id);
  trap_print();
  sbi_reset(SRST_SHUTDOWN, SRST_REASON_FAILURE);
  for (;;) wfi();
}
