// Memory and string routines; the compiler emits calls to the mem* ones by itself.
#pragma once
#include "types.h"

void *memcpy(void *to, const void *from, u64 size);
void *memmove(void *to, const void *from, u64 size);
void *memset(void *to, int byte, u64 size);
u64 strlen(const char *text);
int strcmp(const char *a, const char *b);
bool starts_with(const char *text, const char *prefix);
