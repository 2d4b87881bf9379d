// bench: how fast processor, memory, hypervisor calls, conversions and the serial port are.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/uart.h"
#include "console.h"
#include "memory.h"
#include "shell.h"

#define STREAM_BYTES 0x10000UL
#define CALLS 2000
#define CONVERSIONS 200
#define SERIAL_BYTES 4096

/** `rounds` times eight instructions of dependent integer work; the result keeps it from being dropped. */
static u64 integer_loop(u64 rounds) {
  u64 x = 88172645463325252UL, t;
  __asm__ volatile(
      "1: slli %1, %0, 13\n"
      "   xor  %0, %0, %1\n"
      "   srli %1, %0, 7\n"
      "   xor  %0, %0, %1\n"
      "   slli %1, %0, 17\n"
      "   xor  %0, %0, %1\n"
      "   addi %2, %2, -1\n"
      "   bnez %2, 1b\n"
      : "+r"(x), "=&r"(t), "+r"(rounds));
  return x;
}

static void integer(void) {
  u64 rounds = 1UL << 16, ticks, instructions;
  // Doubled until a run is long enough to measure, then once for about a second.
  do {
    rounds *= 2;
    u64 start = rdtime();
    integer_loop(rounds);
    ticks = rdtime() - start;
  } while (ticks < machine.timebase / 20 && !console_interrupted());
  rounds = rounds * machine.timebase / (ticks + 1);
  instructions = csr_read(instret);
  u64 start = rdtime();
  integer_loop(rounds);
  ticks = rdtime() - start;
  instructions = csr_read(instret) - instructions;
  print("  integer loop     %6lu MIPS   (%lu instructions, %lu ms)\n",
        instructions / (microseconds(ticks) + 1), instructions, microseconds(ticks) / 1000);
}

static void stream(u64 scratch) {
  volatile u64 *words = (volatile u64 *)scratch;
  u64 bytes = 0, sum = 0;
  for (u64 i = 0; i < STREAM_BYTES / 8; i++) words[i] = i;
  u64 start = rdtime(), ticks;
  do {
    for (u64 i = 0; i < STREAM_BYTES / 16; i += 4) {
      volatile u64 *from = words + i, *to = words + STREAM_BYTES / 16 + i;
      u64 a = from[0], b = from[1], c = from[2], d = from[3];
      to[0] = a, to[1] = b, to[2] = c, to[3] = d;
      sum += a + b + c + d;
    }
    bytes += STREAM_BYTES;
    ticks = rdtime() - start;
  } while (ticks < machine.timebase / 4 && !console_interrupted());
  print("  memory stream    %6lu MB/s   (copy in 64 KiB, sum %lx)\n", bytes / (microseconds(ticks) + 1), sum);
}

static void hypervisor_call(void) {
  u64 start = rdtime();
  for (u32 i = 0; i < CALLS; i++) sbi_spec_version();
  print("  SBI round trip   %6lu ns\n", nanoseconds(rdtime() - start) / CALLS);
}

static void conversion(u64 page) {
  u64 sharing = 0, unsharing = 0;
  *(volatile u8 *)page = 1;
  for (u32 i = 0; i < CONVERSIONS; i++) {
    u64 start = rdtime();
    i64 error = sbi_share(page, PAGE_SIZE);
    u64 middle = rdtime();
    if (!error) error = sbi_unshare(page, PAGE_SIZE);
    u64 end = rdtime();
    if (error) {
      print("  share, unshare   %s\n", sbi_error_name(error));
      return;
    }
    sharing += middle - start;
    unsharing += end - middle;
  }
  print("  share            %6lu ns\n", nanoseconds(sharing) / CONVERSIONS);
  print("  unshare          %6lu ns\n", nanoseconds(unsharing) / CONVERSIONS);
}

/** Carriage returns: they go the whole way and leave nothing on the screen. */
static void serial(void) {
  u64 start = rdtime();
  for (u32 i = 0; i < SERIAL_BYTES; i++) uart_put('\r');
  u64 ticks = rdtime() - start;
  print("  serial port      %6lu kB/s\n", SERIAL_BYTES * 1000UL / (microseconds(ticks) + 1));
}

void command_bench(u32 count, char **words) {
  (void)count, (void)words;
  u64 scratch = memory_scratch();
  integer();
  if (console_interrupted()) return;
  stream(scratch);
  hypervisor_call();
  conversion(scratch + STREAM_BYTES);
  serial();
}
