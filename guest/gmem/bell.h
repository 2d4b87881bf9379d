// The doorbell as a program of Linux user space reaches it.
#pragma once
#include "../lib/types.h"

/** Guest physical address of the doorbell by the device tree, 0 when there is none. */
u64 bell_address(void);

/** Ticks of `time` in a second, by the device tree; 0 when it does not say. */
u64 bell_timebase(void);

/** Its page, mapped; the program then stays on this processor. Complains and returns NULL when that fails. */
volatile u8 *bell_open(void);
