// The pages that `gmem alloc` takes from Linux and may be shared: a file in memory, locked there by a process that
// does nothing else, so that the pages keep their guest physical addresses from one command to the next.
#pragma once
#include "../lib/types.h"

/** The file's first page is this; the pages that may be shared follow it. */
struct pool_header {
  u64 magic;
  u64 count; // pages
  i64 holder; // process id
  u8 shared[512]; // a bit a page
};

#define POOL_MAX_PAGES (512 * 8)

struct pool {
  i64 fd;
  struct pool_header *header;
  u8 *pages;
};

/** Makes the pool. Complains and returns false when there is one, or Linux refuses. */
bool pool_create(struct pool *pool, u64 count);
/** Opens it; complains and returns false when there is none. */
bool pool_open(struct pool *pool);
/** Gives the pages back to Linux. None may be shared. */
void pool_remove(struct pool *pool);

/** Guest physical address of page `index`, 0 when Linux does not tell. */
u64 pool_gpa(const struct pool *pool, u64 index);
/** Index of the page at `gpa`, or the count when it is none of the pool's. */
u64 pool_find(const struct pool *pool, u64 gpa);
bool pool_is_shared(const struct pool *pool, u64 index);
void pool_set_shared(const struct pool *pool, u64 index, bool shared);
