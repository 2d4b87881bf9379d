// Formatted output: on the serial port for a guest that has the machine, on standard output for a program of Linux.
#pragma once
#include "types.h"

void put(const char *text);
/** The one way out; who links this in has it. */
void put_char(char c);

/** %s %c %d %u %x %%, with '-', '0', a width, and 'l' for 64 bits. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
