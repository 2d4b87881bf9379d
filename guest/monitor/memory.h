// What the monitor knows of its memory: where things lie, and which pages it declared shared.
#pragma once
#include "../lib/types.h"

/** All RAM private, as a confidential machine starts. */
void memory_init(void);

/** First page of RAM that nothing uses: 0x84000000 when RAM reaches there, else the middle of what is free. */
u64 memory_scratch(void);

/** Total RAM in bytes. */
u64 memory_size(void);

/** Prints RAM, image, device tree, initrd and devices. */
void memory_print_map(void);

/** Records a completed share or unshare. */
void memory_declare(u64 gpa, u64 pages, bool shared);

/** True when the page at `gpa` is declared shared. */
bool memory_is_shared(u64 gpa);

/** Pages of RAM declared shared. */
u64 memory_shared_pages(void);
