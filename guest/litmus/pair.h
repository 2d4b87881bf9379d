// Two harts doing the two halves of one test. Side 0 is the boot hart.
#pragma once
#include "../lib/types.h"

/** Starts the second hart; false when the machine has none. */
bool pair_start(u64 boot_hart);

/** On the boot hart: `part(0)` here and `part(1)` on the other, at the same time; returns when both are done. */
void pair_run(void (*part)(u32 side));

/** Both sides meet here. */
void pair_meet(u32 side);

/** The other side's hart as a one-bit mask from hart 0. */
u64 pair_other_mask(u32 side);
