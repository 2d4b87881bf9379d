// peek, poke, touch, fault: plain loads and stores.
#include "../lib/csr.h"
#include "../lib/print.h"
#include "console.h"
#include "cpu.h"
#include "memory.h"
#include "shell.h"

static void dump_line(u64 at, const u8 *bytes, u64 count) {
  print("0x%08lx  ", at);
  for (u64 i = 0; i < 16; i++) {
    if (i < count) print("%02x ", bytes[i]);
    else put("   ");
    if (i == 7) put_char(' ');
  }
  put(" |");
  for (u64 i = 0; i < count; i++) put_char(bytes[i] >= 32 && bytes[i] < 127 ? (char)bytes[i] : '.');
  put("|\n");
}

void command_peek(u32 count, char **words) {
  u64 gpa, length = 64;
  if (count < 2 || count > 3) {
    put("usage: peek GPA [LEN]\n");
    return;
  }
  if (!parse_address(words[1], &gpa)) return;
  if (count == 3 && !parse_number(words[2], &length)) {
    print("%s: not a length\n", words[2]);
    return;
  }
  for (u64 done = 0; done < length && !console_interrupted(); done += 16) {
    u8 bytes[16];
    u64 part = length - done < 16 ? length - done : 16;
    for (u64 i = 0; i < part; i++) bytes[i] = *(volatile u8 *)(gpa + done + i);
    dump_line(gpa + done, bytes, part);
  }
}

void command_poke(u32 count, char **words) {
  u64 gpa, written = 0;
  if (count < 3) {
    put("usage: poke GPA BYTE...|\"text\"\n");
    return;
  }
  if (!parse_address(words[1], &gpa)) return;
  for (u32 i = 2; i < count; i++) {
    u64 byte;
    if (words[i][0] == '"') continue;
    if (!parse_number(words[i], &byte) || byte > 255) {
      print("%s: not a byte\n", words[i]);
      return;
    }
  }
  volatile u8 *to = (volatile u8 *)gpa;
  for (u32 i = 2; i < count; i++) {
    u64 byte;
    if (words[i][0] == '"') {
      for (const char *c = words[i] + 1; *c; c++) to[written++] = (u8)*c;
    } else if (parse_number(words[i], &byte)) {
      to[written++] = (u8)byte;
    }
  }
  print("%lu byte%s at 0x%lx\n", written, written == 1 ? "" : "s", gpa);
}

void command_touch(u32 count, char **words) {
  u64 gpa, pages, done = 0;
  if (!parse_pages(count, words, &gpa, &pages)) return;
  gpa &= ~7UL;
  u64 cycles = csr_read(cycle);
  u64 start = rdtime();
  for (; done < pages && !console_interrupted(); done++) *(volatile u64 *)(gpa + done * PAGE_SIZE) = gpa + done;
  u64 time = rdtime() - start;
  cycles = csr_read(cycle) - cycles;
  print("%lu pages touched in %lu us, %lu cycles", done, microseconds(time), cycles);
  if (done) print(": %lu cycles (%lu ns) a page", cycles / done, nanoseconds(time) / done);
  put_char('\n');
}

void command_fault(u32 count, char **words) {
  u64 gpa;
  if (count != 2) {
    put("usage: fault GPA\n");
    return;
  }
  if (!parse_address(words[1], &gpa)) return;
  print("reading 0x%lx: ", gpa);
  struct cpu *cpu = this_cpu();
  struct guard *outer = cpu->guard;
  struct guard guard;
  if (guard_set(&guard)) {
    cpu->guard = outer;
    trap_print();
    csr_set(sstatus, SSTATUS_SIE);
    return;
  }
  cpu->guard = &guard;
  u64 start = rdtime();
  u8 byte = *(volatile u8 *)gpa;
  u64 time = rdtime() - start;
  cpu->guard = outer;
  print("no fault, 0x%02x after %lu us\n", byte, microseconds(time));
}
