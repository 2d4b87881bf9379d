// Memory and string routines, byte by byte: simple, and nothing here is hot.
#include "string.h"

void *memcpy(void *to, const void *from, u64 size) { return memmove(to, from, size); }

void *memmove(void *to, const void *from, u64 size) {
  u8 *t = to;
  const u8 *f = from;
  if (t < f)
    for (u64 i = 0; i < size; i++) t[i] = f[i];
  else
    for (u64 i = size; i > 0; i--) t[i - 1] = f[i - 1];
  return to;
}

void *memset(void *to, int byte, u64 size) {
  u8 *t = to;
  for (u64 i = 0; i < size; i++) t[i] = (u8)byte;
  return to;
}

u64 strlen(const char *text) {
  u64 length = 0;
  while (text[length]) length++;
  return length;
}

int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (u8)*a - (u8)*b;
}

bool starts_with(const char *text, const char *prefix) {
  while (*prefix)
    if (*text++ != *prefix++) return false;
  return true;
}
