// A file of a memory file system, found again by its name; guest physical addresses by /proc/self/pagemap.
#include "pool.h"

#include "../lib/print.h"
#include "../lib/string.h"
#include "linux.h"

#define POOL_PATH "/run/gmem-pool"
#define POOL_MAGIC 0x6c6f6f706d656d67UL
#define PAGEMAP_PRESENT (1UL << 63)
#define PAGEMAP_PFN ((1UL << 55) - 1)

/** Locked pages keep their place only when compaction leaves them alone. */
static void forbid_compaction(void) {
  i64 fd = linux_open("/proc/sys/vm/compact_unevictable_allowed", O_RDWR);
  if (fd >= 0 && linux_write(fd, "0\n", 2) == 2) {
    linux_close(fd);
    return;
  }
  put("warning: compaction may move the pages (vm.compact_unevictable_allowed cannot be set)\n");
}

static bool map(struct pool *pool, u64 count) {
  i64 at = linux_map(pool->fd, (count + 1) * PAGE_SIZE, 0);
  if (at < 0) return false;
  pool->header = (struct pool_header *)at;
  pool->pages = (u8 *)at + PAGE_SIZE;
  return true;
}

/** The process that holds the lock on the pages; it never returns from here. */
static void hold(const struct pool *pool, u64 count) {
  linux_detach();
  if (linux_lock_memory(pool->header, (count + 1) * PAGE_SIZE) < 0) linux_exit(1);
  pool->header->magic = POOL_MAGIC;
  linux_pause();
}

bool pool_create(struct pool *pool, u64 count) {
  pool->fd = linux_open(POOL_PATH, O_RDWR | O_CREAT | O_EXCL);
  if (pool->fd == -EEXIST) {
    put("there is a pool already: gmem status shows it, gmem free gives it back\n");
    return false;
  }
  bool made = pool->fd >= 0 && linux_truncate(pool->fd, (count + 1) * PAGE_SIZE) >= 0 && map(pool, count);
  if (made) {
    forbid_compaction();
    pool->header->count = count;
    i64 holder = linux_fork();
    if (holder == 0) hold(pool, count);
    pool->header->holder = holder;
    // A second at most: to lock pages that are there takes no time worth mentioning.
    volatile u64 *magic = &pool->header->magic;
    for (u32 i = 0; holder > 0 && *magic != POOL_MAGIC && i < 100; i++) linux_sleep(10);
    made = *magic == POOL_MAGIC;
  }
  if (!made) {
    print("Linux has no %lu pages to give (or /run is no memory file system)\n", count);
    linux_unlink(POOL_PATH);
  }
  return made;
}

bool pool_open(struct pool *pool) {
  u64 head[2];
  pool->fd = linux_open(POOL_PATH, O_RDWR);
  bool found = pool->fd >= 0 && linux_read_at(pool->fd, head, sizeof head, 0) == sizeof head &&
               head[0] == POOL_MAGIC && head[1] > 0 && head[1] <= POOL_MAX_PAGES && map(pool, head[1]);
  if (!found) put("there is no pool: gmem alloc N makes one\n");
  return found;
}

void pool_remove(struct pool *pool) {
  linux_unlink(POOL_PATH);
  linux_kill(pool->header->holder);
}

u64 pool_gpa(const struct pool *pool, u64 index) {
  static i64 pagemap = -1;
  u64 entry = 0;
  volatile const u8 *page = pool->pages + index * PAGE_SIZE;
  (void)*page; // a page that is not mapped has no entry
  if (pagemap < 0) pagemap = linux_open("/proc/self/pagemap", O_RDONLY);
  if (pagemap < 0 || linux_read_at(pagemap, &entry, 8, (u64)page / PAGE_SIZE * 8) != 8) return 0;
  return entry & PAGEMAP_PRESENT ? (entry & PAGEMAP_PFN) * PAGE_SIZE : 0;
}

u64 pool_find(const struct pool *pool, u64 gpa) {
  u64 index = 0;
  while (index < pool->header->count && pool_gpa(pool, index) != (gpa & ~(PAGE_SIZE - 1))) index++;
  return index;
}

bool pool_is_shared(const struct pool *pool, u64 index) { return pool->header->shared[index / 8] >> index % 8 & 1; }

void pool_set_shared(const struct pool *pool, u64 index, bool shared) {
  u8 bit = (u8)(1 << index % 8);
  u8 *byte = &pool->header->shared[index / 8];
  *byte = (u8)(shared ? *byte | bit : *byte & ~bit);
}
