// Keyboard bytes come by interrupt into a ring; the shell takes them out.
#include "console.h"

#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/uart.h"
#include "cpu.h"

#define RING 1024
#define CTRL_C 3

// Filled by the interrupt, emptied by console_get, both on the boot hart.
static volatile u8 ring[RING];
static volatile u32 written, read;
static volatile bool running, interrupted;

static volatile u32 *claim;

void console_init(void) {
  struct hart *hart = machine_hart(this_cpu()->id);
  if (!machine.plic || !hart || hart->plic_context < 0) return;
  u64 context = (u64)hart->plic_context;
  claim = (volatile u32 *)(machine.plic + 0x200004 + 0x1000 * context);
  *(volatile u32 *)(machine.plic + 4 * machine.uart_irq) = 1;
  *(volatile u32 *)(machine.plic + 0x2000 + 0x80 * context + machine.uart_irq / 32 * 4) =
      1U << (machine.uart_irq % 32);
  *(volatile u32 *)(machine.plic + 0x200000 + 0x1000 * context) = 0;
  uart_enable_receive_interrupt();
  csr_set(sie, SIE_SEIE);
  csr_set(sstatus, SSTATUS_SIE);
}

static void take(void) {
  // With the ring full the bytes stay in the port, which holds the sender back.
  while (written - read < RING) {
    i32 byte = uart_get();
    if (byte < 0) return;
    if (byte == CTRL_C && running) {
      interrupted = true;
      written = read;
      continue;
    }
    ring[written % RING] = (u8)byte;
    written++;
  }
  // Nothing more can be taken until a key is read: silence the source instead of looping on it.
  csr_clear(sie, SIE_SEIE);
}

void console_interrupt(void) {
  u32 source;
  while ((source = *claim) != 0) {
    take();
    *claim = source;
    if (written - read >= RING) return;
  }
}

u8 console_get(void) {
  csr_clear(sstatus, SSTATUS_SIE);
  while (read == written) {
    if (claim) {
      // Pending interrupts end WFI also while disabled, so none is lost between the test and the sleep.
      wfi();
      csr_set(sstatus, SSTATUS_SIE);
      csr_clear(sstatus, SSTATUS_SIE);
    } else {
      take();
    }
  }
  u8 byte = ring[read % RING];
  read++;
  if (claim) {
    csr_set(sie, SIE_SEIE);
    csr_set(sstatus, SSTATUS_SIE);
  }
  return byte;
}

bool console_interrupted(void) {
  if (!claim) take();
  bool was = interrupted;
  interrupted = false;
  return was;
}

void console_running(bool now) {
  running = now;
  interrupted = false;
}
