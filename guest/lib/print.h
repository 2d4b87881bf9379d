// Formatted output on the serial port.
#pragma once
#include "types.h"

/** Writes text; a line feed becomes carriage return and line feed. */
void put(const char *text);
void put_char(char c);

/** %s %c %d %u %x %%, with '-', '0', a width, and 'l' for 64 bits. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
