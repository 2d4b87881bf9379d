// The monitor: boots in its private memory, says what it finds, and takes commands on the serial port.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/uart.h"
#include "console.h"
#include "cpu.h"
#include "memory.h"
#include "paging.h"
#include "shell.h"

static void banner(void) {
  u64 spec = sbi_spec_version();
  u64 pages = memory_size() / PAGE_SIZE;
  u64 shared = memory_shared_pages();
  print("\ngmemscope monitor\n");
  print("  hart %lu of %u, %s, %s, time at %lu Hz\n", boot_cpu.id, machine.hart_count,
        machine.isa ? machine.isa : "unknown ISA", machine.mmu ? machine.mmu : "unknown MMU", machine.timebase);
  print("  SBI %lu.%lu by %s 0x%lx\n", spec >> 24 & 0x7f, spec & 0xffffff,
        sbi_implementation_name(sbi_implementation_id()), sbi_implementation_version());
  memory_print_map();
  if (sbi_probe(SBI_COVG))
    print("Memory is private until shared: %lu of %lu pages private (%lu %%).\n", pages - shared, pages,
          pages ? (pages - shared) * 100 / pages : 0);
  else
    print("No CoVE-guest extension: this host cannot convert memory, nothing here is confidential.\n");
  print("Type help for the commands.\n\n");
}

/** Called by start.S on the boot hart. */
void monitor_main(u64 hart, const void *tree) {
  boot_cpu.id = hart;
  if (!machine_read(tree) || !machine.uart) {
    // Without a device tree there is no console to complain on.
    sbi_reset(SRST_SHUTDOWN, SRST_REASON_FAILURE);
    return;
  }
  memory_init();
  paging_enable();
  uart_init(machine.uart);
  console_init();
  banner();
  shell_run();
}
