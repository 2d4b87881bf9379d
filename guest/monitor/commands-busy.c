// spin and flood: a busy processor and a busy serial port.
#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/uart.h"
#include "console.h"
#include "shell.h"

void command_spin(u32 count, char **words) {
  u64 seconds = 0;
  if (count > 2 || (count == 2 && !parse_number(words[1], &seconds))) {
    put("usage: spin [SECONDS]\n");
    return;
  }
  u64 start = rdtime();
  bool stopped = false;
  while (count < 2 || rdtime() - start < seconds * machine.timebase)
    if ((stopped = console_interrupted())) break;
  print("%s after %lu ms\n", stopped ? "stopped" : "done", microseconds(rdtime() - start) / 1000);
}

#define LINE 64
#define FNV_OFFSET 0x811c9dc5U
#define FNV_PRIME 0x01000193U

/** Lines of 64 bytes: eight hexadecimal digits, a space, 53 letters and digits, CR LF. The sum is FNV-1a. */
void command_flood(u32 count, char **words) {
  static const char symbols[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  u64 kib = 64;
  if (count > 2 || (count == 2 && !parse_number(words[1], &kib))) {
    put("usage: flood [KIB]\n");
    return;
  }
  u32 sum = FNV_OFFSET;
  u64 lines = kib * 1024 / LINE, line = 0;
  u64 start = rdtime();
  for (; line < lines && !console_interrupted(); line++) {
    u8 bytes[LINE];
    for (u32 i = 0; i < 8; i++) bytes[i] = (u8)"0123456789abcdef"[(line >> (28 - 4 * i)) & 15];
    bytes[8] = ' ';
    for (u32 i = 9; i < LINE - 2; i++) bytes[i] = (u8)symbols[(line + i) % 62];
    bytes[LINE - 2] = '\r';
    bytes[LINE - 1] = '\n';
    for (u32 i = 0; i < LINE; i++) {
      sum = (sum ^ bytes[i]) * FNV_PRIME;
      uart_put(bytes[i]);
    }
  }
  print("flood: %lu bytes, fnv1a %08x, %lu ms\n", line * LINE, sum, microseconds(rdtime() - start) / 1000);
}
