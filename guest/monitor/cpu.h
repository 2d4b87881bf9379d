// One hart's own data; tp points to it.
#pragma once
#include "../lib/types.h"

/** Where to go on after an exception: filled by guard_set. */
struct guard {
  u64 registers[14];
};

struct trap_info {
  u64 cause;
  u64 pc;
  u64 value; // stval
};

struct cpu {
  u64 stack_top; // first: start.S reads it
  u64 id;
  struct guard *guard; // NULL: an exception is fatal
  struct trap_info last; // the exception that guard caught
};

extern struct cpu boot_cpu;

static inline struct cpu *this_cpu(void) {
  struct cpu *cpu;
  __asm__ volatile("mv %0, tp" : "=r"(cpu));
  return cpu;
}

int guard_set(struct guard *guard) __attribute__((returns_twice));
void guard_leave(struct guard *guard) __attribute__((noreturn));

/** "load page fault" and so on. */
const char *trap_cause_name(u64 cause);

/** Prints cause, pc and value of the exception last caught on this hart. */
void trap_print(void);
