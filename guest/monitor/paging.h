// The monitor's address space: every guest physical address at the same virtual one.
#pragma once
#include "../lib/types.h"

/** Addresses from here on cannot be reached: Sv39's lower half. */
#define PAGING_LIMIT (1UL << 38)

/** Builds the tables and turns translation on. */
void paging_enable(void);

/** satp for harts that follow. */
extern u64 kernel_satp;
