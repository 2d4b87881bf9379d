// share and unshare: conversions by the CoVE-guest calls.
#include "../lib/csr.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "memory.h"
#include "shell.h"

static void convert(u32 count, char **words, bool shared) {
  u64 gpa, pages;
  if (!parse_pages(count, words, &gpa, &pages)) return;
  u64 start = rdtime();
  i64 error = (shared ? sbi_share : sbi_unshare)(gpa, pages * PAGE_SIZE);
  u64 time = rdtime() - start;
  if (error) {
    print("%s 0x%lx %lu: %s (%ld)\n", words[0], gpa, pages, sbi_error_name(error), error);
    return;
  }
  memory_declare(gpa, pages, shared);
  print("0x%lx-0x%lx now %s, %lu us\n", gpa, gpa + pages * PAGE_SIZE, shared ? "shared" : "private",
        microseconds(time));
}

void command_share(u32 count, char **words) { convert(count, words, true); }
void command_unshare(u32 count, char **words) { convert(count, words, false); }
