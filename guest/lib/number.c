// Numbers, decimal or hexadecimal.
#include "number.h"

#include "string.h"

bool parse_number(const char *word, u64 *value) {
  u64 base = 10;
  if (starts_with(word, "0x") || starts_with(word, "0X")) base = 16, word += 2;
  if (!*word) return false;
  *value = 0;
  for (; *word; word++) {
    u64 digit = 99;
    if (*word >= '0' && *word <= '9') digit = (u64)(*word - '0');
    if ((*word | 32) >= 'a' && (*word | 32) <= 'f') digit = (u64)((*word | 32) - 'a' + 10);
    if (digit >= base || *value > (~0UL - digit) / base) return false;
    *value = *value * base + digit;
  }
  return true;
}
