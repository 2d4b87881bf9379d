// Text to standard output, a line at a time.
#include "../lib/print.h"
#include "linux.h"

static char line[256];
static u32 length;

static void flush(void) {
  linux_write(1, line, length);
  length = 0;
}

void put_char(char c) {
  line[length++] = c;
  if (c == '\n' || length == sizeof line) flush();
}
