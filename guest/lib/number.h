// Numbers as people type them.
#pragma once
#include "types.h"

/** Reads 0x hexadecimal or decimal digits; false for anything else. */
bool parse_number(const char *word, u64 *value);
