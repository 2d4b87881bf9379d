// A small printf.
#include "print.h"

#include "string.h"

void put(const char *text) {
  while (*text) put_char(*text++);
}

static void padded(const char *text, u64 length, u32 width, bool left, char fill) {
  if (!left)
    for (u64 i = length; i < width; i++) put_char(fill);
  for (u64 i = 0; i < length; i++) put_char(text[i]);
  if (left)
    for (u64 i = length; i < width; i++) put_char(' ');
}

static void digits(u64 value, u32 base, bool negative, u32 width, bool left, char fill) {
  char text[24];
  u32 at = sizeof text;
  do text[--at] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  if (negative) text[--at] = '-';
  padded(text + at, sizeof text - at, width, left, fill);
}

void print(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  for (; *format; format++) {
    if (*format != '%') {
      put_char(*format);
      continue;
    }
    bool left = false, wide = false;
    char fill = ' ';
    u32 width = 0;
    for (format++; *format == '-' || *format == '0'; format++) *format == '-' ? (left = true) : (fill = '0');
    for (; *format >= '0' && *format <= '9'; format++) width = width * 10 + (u32)(*format - '0');
    for (; *format == 'l'; format++) wide = true;
    switch (*format) {
      case 's': {
        const char *text = __builtin_va_arg(arguments, const char *);
        padded(text, strlen(text), width, left, ' ');
        break;
      }
      case 'c': {
        char c = (char)__builtin_va_arg(arguments, int);
        padded(&c, 1, width, left, ' ');
        break;
      }
      case 'd': {
        i64 value = wide ? __builtin_va_arg(arguments, i64) : __builtin_va_arg(arguments, i32);
        digits(value < 0 ? -(u64)value : (u64)value, 10, value < 0, width, left, fill);
        break;
      }
      case 'u':
      case 'x': {
        u64 value = wide ? __builtin_va_arg(arguments, u64) : __builtin_va_arg(arguments, u32);
        digits(value, *format == 'x' ? 16 : 10, false, width, left, fill);
        break;
      }
      default:
        put_char(*format);
    }
  }
  __builtin_va_end(arguments);
}
