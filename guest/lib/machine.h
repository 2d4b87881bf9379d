// What the device tree says about the machine this runs on.
#pragma once
#include "types.h"

#define MAX_RAM_RANGES 4
#define MAX_DEVICES 24

struct range {
  u64 base;
  u64 size;
};

struct device {
  const char *name; // node name, e.g. "serial@10000000"
  struct range reg;
};

struct hart {
  u32 id;
  u32 intc; // phandle of its interrupt controller
  i32 plic_context; // supervisor context in the PLIC, -1 when it has none
};

struct machine {
  struct range tree; // where the device tree itself lies
  struct range initrd; // size 0: none
  struct range ram[MAX_RAM_RANGES];
  u32 ram_count;
  struct device devices[MAX_DEVICES];
  u32 device_count;
  struct hart harts[MAX_HARTS];
  u32 hart_count;
  const char *isa;
  const char *mmu;
  const char *bootargs;
  u64 timebase; // ticks of `time` per second
  u64 uart;
  u32 uart_irq;
  u64 plic;
  u64 doorbell; // 0: this machine has none
};

extern struct machine machine;

/** Fills `machine`; false when there is no device tree at `tree`. */
bool machine_read(const void *tree);

/** The hart's entry, or NULL. */
struct hart *machine_hart(u64 id);
