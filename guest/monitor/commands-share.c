// share, unshare, keep: conversions by the CoVE-guest calls; doorbell: the same by MMIO.
#include "../lib/csr.h"
#include "../lib/doorbell.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/string.h"
#include "memory.h"
#include "shell.h"

static i64 ask_sbi(u64 gpa, u64 size, bool shared) { return (shared ? sbi_share : sbi_unshare)(gpa, size); }

static i64 ask_doorbell(u64 gpa, u64 size, bool shared) {
  return doorbell_ask((volatile u8 *)machine.doorbell, gpa, size, shared);
}

static void convert(u32 count, char **words, bool shared, i64 (*ask)(u64 gpa, u64 size, bool shared)) {
  u64 gpa, pages;
  if (!parse_pages(count, words, &gpa, &pages)) return;
  u64 start = rdtime();
  i64 error = ask(gpa, pages * PAGE_SIZE, shared);
  u64 time = rdtime() - start;
  if (error) {
    print("%s 0x%lx %lu: %s (%ld)\n", words[0], gpa, pages, sbi_error_name(error), error);
    return;
  }
  memory_declare(gpa, pages, shared);
  print("0x%lx-0x%lx now %s, %lu us\n", gpa, gpa + pages * PAGE_SIZE, shared ? "shared" : "private",
        microseconds(time));
}

void command_share(u32 count, char **words) { convert(count, words, true, ask_sbi); }
void command_unshare(u32 count, char **words) { convert(count, words, false, ask_sbi); }

void command_doorbell(u32 count, char **words) {
  bool shared = count == 4 && !strcmp(words[1], "share");
  if (count != 4 || (!shared && strcmp(words[1], "unshare")))
    put("usage: doorbell share|unshare GPA PAGES\n");
  else if (!machine.doorbell || !doorbell_present((volatile u8 *)machine.doorbell))
    put("this machine has no doorbell\n");
  else
    convert(count - 1, words + 1, shared, ask_doorbell);
}

/** Word `i` of what is written to a page: no two words, pages or times give the same. */
static u64 pattern(u64 gpa, u64 seed, u64 i) { return (gpa + i + 1) * 0x9e3779b97f4a7c15UL ^ seed; }

/** What became of the pattern: "kept" or "lost". */
static const char *verdict(u64 gpa, u64 seed) {
  volatile u64 *page = (volatile u64 *)gpa;
  u64 kept = 0, zero = 0;
  for (u64 i = 0; i < PAGE_SIZE / 8; i++) {
    kept += page[i] == pattern(gpa, seed, i);
    zero += page[i] == 0;
  }
  if (kept == PAGE_SIZE / 8) return "kept";
  return zero == PAGE_SIZE / 8 ? "lost, the page reads as zeroes" : "lost, the page holds something else";
}

/** Writes a page, converts it and compares. False when the host refuses. */
static bool keep_one_way(const char *name, u64 gpa, bool to_shared) {
  u64 seed = rdtime();
  for (u64 i = 0; i < PAGE_SIZE / 8; i++) ((volatile u64 *)gpa)[i] = pattern(gpa, seed, i);
  i64 error = (to_shared ? sbi_share : sbi_unshare)(gpa, PAGE_SIZE);
  if (error) {
    print("%s 0x%lx: %s (%ld)\n", name, gpa, sbi_error_name(error), error);
    return false;
  }
  memory_declare(gpa, 1, to_shared);
  print("  %s  %s\n", to_shared ? "private to shared" : "shared to private", verdict(gpa, seed));
  return true;
}

void command_keep(u32 count, char **words) {
  u64 gpa;
  if (count != 2) {
    put("usage: keep GPA\n");
    return;
  }
  if (!parse_address(words[1], &gpa)) return;
  gpa &= ~(PAGE_SIZE - 1);
  bool shared = memory_is_shared(gpa);
  if (keep_one_way(words[0], gpa, !shared)) keep_one_way(words[0], gpa, shared);
}
