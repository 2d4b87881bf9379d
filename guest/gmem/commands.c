// What a person asks for: pages, their state, their bytes, and how long conversions take.
#include "commands.h"

#include "../lib/csr.h"
#include "../lib/doorbell.h"
#include "../lib/number.h"
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "../lib/string.h"
#include "bell.h"
#include "linux.h"
#include "pool.h"

#define WATCH_BYTES 64
#define WATCH_MS 100
#define MEASURE_ROUNDS 100
#define MEASURE_MAX 1000000

static int usage(const char *arguments) {
  print("usage: gmem %s\n", arguments);
  return USAGE;
}

/** Index of the page that `word` names, +N or a guest physical address; complains itself. `offset`: bytes into it. */
static bool page_of(const struct pool *pool, const char *word, u64 *index, u64 *offset) {
  u64 count = pool->header->count, value;
  if (!parse_number(word + (*word == '+'), &value)) {
    print("%s: neither +N, page N of the pool, nor a guest physical address\n", word);
    return false;
  }
  *index = *word == '+' ? value : pool_find(pool, value);
  *offset = *word == '+' ? 0 : value % PAGE_SIZE;
  if (*index < count) return true;
  print("%s: no page of the pool, which has %lu; every other page is Linux's own, and is left alone\n", word, count);
  return false;
}

static const char *state_name(bool shared) { return shared ? "shared" : "private"; }

/** End of the run of pages from `from`, one behind the other in the guest and in one state. */
static u64 run_end(const struct pool *pool, u64 from, u64 limit) {
  u64 to = from + 1;
  while (to < limit && pool_gpa(pool, to) == pool_gpa(pool, from) + (to - from) * PAGE_SIZE &&
         pool_is_shared(pool, to) == pool_is_shared(pool, from))
    to++;
  return to;
}

static void print_pages(const struct pool *pool) {
  u64 count = pool->header->count;
  for (u64 from = 0, to; from < count; from = to) {
    to = run_end(pool, from, count);
    print("  +%-4lu %4lu page%s at 0x%08lx  %s\n", from, to - from, to - from == 1 ? " " : "s", pool_gpa(pool, from),
          state_name(pool_is_shared(pool, from)));
  }
}

int command_status(u32 count, char **words) {
  (void)words;
  if (count != 1) return usage("status");
  struct pool pool;
  u64 address = bell_address();
  if (address) print("doorbell at 0x%lx\n", address);
  else put("no doorbell: this machine cannot convert memory\n");
  if (!pool_open(&pool)) return OK;
  print_pages(&pool);
  return OK;
}

int command_alloc(u32 count, char **words) {
  struct pool pool;
  u64 pages;
  if (count != 2 || !parse_number(words[1], &pages) || pages == 0 || pages > POOL_MAX_PAGES) {
    print("usage: gmem alloc PAGES (1 to %u)\n", POOL_MAX_PAGES);
    return USAGE;
  }
  if (!pool_create(&pool, pages)) return FAILED;
  print_pages(&pool);
  return OK;
}

/** Converts what of pages [from, to) is not yet `shared`, a run at a time. False when the host refuses one. */
static bool convert(const struct pool *pool, volatile u8 *bell, u64 from, u64 to, bool shared) {
  for (u64 end; from < to; from = end) {
    end = run_end(pool, from, to);
    u64 gpa = pool_gpa(pool, from), pages = end - from;
    if (pool_is_shared(pool, from) == shared) {
      print("0x%lx-0x%lx is %s already\n", gpa, gpa + pages * PAGE_SIZE, state_name(shared));
      continue;
    }
    u64 start = linux_now();
    i64 error = doorbell_ask(bell, gpa, pages * PAGE_SIZE, shared);
    u64 time = linux_now() - start;
    if (error) {
      print("0x%lx-0x%lx stays %s: %s (%ld)\n", gpa, gpa + pages * PAGE_SIZE, state_name(!shared),
            sbi_error_name(error), error);
      return false;
    }
    for (u64 i = from; i < end; i++) pool_set_shared(pool, i, shared);
    print("0x%lx-0x%lx now %s, %lu us\n", gpa, gpa + pages * PAGE_SIZE, state_name(shared), time / 1000);
  }
  return true;
}

int command_free(u32 count, char **words) {
  (void)words;
  if (count != 1) return usage("free");
  struct pool pool;
  if (!pool_open(&pool)) return FAILED;
  u64 pages = pool.header->count, shared = 0;
  for (u64 i = 0; i < pages; i++) shared += pool_is_shared(&pool, i);
  if (shared) {
    // Linux would go on to keep its own data in pages that the host can read.
    volatile u8 *bell = bell_open();
    linux_lock_file(pool.fd);
    for (u64 from = 0, to; from < pages; from = to) {
      to = run_end(&pool, from, pages);
      if (pool_is_shared(&pool, from) && (!bell || !convert(&pool, bell, from, to, false))) return FAILED;
    }
  }
  pool_remove(&pool);
  print("%lu pages given back\n", pages);
  return OK;
}

static int command_convert(u32 count, char **words, bool shared) {
  struct pool pool;
  u64 index, offset, pages = 1;
  if (count < 2 || count > 3 || (count == 3 && (!parse_number(words[2], &pages) || pages == 0)))
    return usage(shared ? "share +N|GPA [PAGES]" : "unshare +N|GPA [PAGES]");
  if (!pool_open(&pool) || !page_of(&pool, words[1], &index, &offset)) return FAILED;
  if (pages > pool.header->count - index) {
    print("%lu pages from there are more than the pool has\n", pages);
    return FAILED;
  }
  volatile u8 *bell = bell_open();
  if (!bell) return FAILED;
  linux_lock_file(pool.fd);
  return convert(&pool, bell, index, index + pages, shared) ? OK : FAILED;
}

int command_share(u32 count, char **words) { return command_convert(count, words, true); }
int command_unshare(u32 count, char **words) { return command_convert(count, words, false); }

static void dump(u64 gpa, const volatile u8 *bytes, u64 length) {
  for (u64 at = 0; at < length; at += 16) {
    print("0x%08lx  ", gpa + at);
    for (u64 i = at; i < at + 16; i++) {
      if (i < length) print("%02x ", bytes[i]);
      else put("   ");
    }
    put(" |");
    for (u64 i = at; i < at + 16 && i < length; i++) put_char(bytes[i] >= 32 && bytes[i] < 127 ? (char)bytes[i] : '.');
    put("|\n");
  }
}

int command_read(u32 count, char **words) {
  struct pool pool;
  u64 index, offset, length = WATCH_BYTES;
  if (count < 2 || count > 3 || (count == 3 && !parse_number(words[2], &length))) return usage("read +N|GPA [BYTES]");
  if (!pool_open(&pool) || !page_of(&pool, words[1], &index, &offset)) return FAILED;
  if (length > PAGE_SIZE - offset) length = PAGE_SIZE - offset;
  dump(pool_gpa(&pool, index) + offset, pool.pages + index * PAGE_SIZE + offset, length);
  return OK;
}

int command_write(u32 count, char **words) {
  struct pool pool;
  u64 index, offset;
  if (count != 3) return usage("write +N|GPA TEXT");
  if (!pool_open(&pool) || !page_of(&pool, words[1], &index, &offset)) return FAILED;
  u64 length = strlen(words[2]);
  if (length > PAGE_SIZE - offset) length = PAGE_SIZE - offset;
  memcpy(pool.pages + index * PAGE_SIZE + offset, words[2], length);
  print("%lu bytes at 0x%lx\n", length, pool_gpa(&pool, index) + offset);
  return OK;
}

int command_watch(u32 count, char **words) {
  struct pool pool;
  u64 index, offset, seconds = ~0UL / 1000;
  if (count < 2 || count > 3 || (count == 3 && !parse_number(words[2], &seconds))) return usage("watch +N|GPA [SECONDS]");
  if (!pool_open(&pool) || !page_of(&pool, words[1], &index, &offset)) return FAILED;
  u64 length = PAGE_SIZE - offset < WATCH_BYTES ? PAGE_SIZE - offset : WATCH_BYTES;
  const volatile u8 *bytes = pool.pages + index * PAGE_SIZE + offset;
  u8 seen[WATCH_BYTES];
  u64 end = linux_now() / 1000000 + seconds * 1000;
  for (bool first = true; linux_now() / 1000000 < end; linux_sleep(WATCH_MS)) {
    bool changed = first;
    for (u64 i = 0; i < length; i++) changed |= bytes[i] != seen[i];
    if (changed) {
      for (u64 i = 0; i < length; i++) seen[i] = bytes[i];
      dump(pool_gpa(&pool, index) + offset, seen, length);
    }
    first = false;
  }
  return OK;
}

/** Times of many rounds, in ticks of `time`. */
struct times {
  u64 least, most, sum;
};

static void add(struct times *times, u64 time) {
  if (time < times->least) times->least = time;
  if (time > times->most) times->most = time;
  times->sum += time;
}

static void print_times(const char *what, const struct times *times, u64 rounds, u64 timebase) {
  u64 ns = 1000000000UL / timebase;
  print("  %-24s %8lu %8lu %8lu\n", what, times->least * ns, times->sum * ns / rounds, times->most * ns);
}

int command_measure(u32 count, char **words) {
  struct pool pool;
  u64 rounds = MEASURE_ROUNDS;
  if (count > 2 || (count == 2 && (!parse_number(words[1], &rounds) || rounds == 0 || rounds > MEASURE_MAX)))
    return usage("measure [ROUNDS]");
  if (!pool_open(&pool)) return FAILED;
  u64 index = 0;
  while (index < pool.header->count && pool_is_shared(&pool, index)) index++;
  if (index == pool.header->count) {
    put("every page of the pool is shared: unshare one\n");
    return FAILED;
  }
  volatile u8 *bell = bell_open();
  if (!bell) return FAILED;
  u64 timebase = bell_timebase();
  if (timebase == 0 || timebase > 1000000000UL) {
    put("the device tree does not say how fast time counts\n");
    return FAILED;
  }
  linux_lock_file(pool.fd);
  const struct times none = {.least = ~0UL};
  struct times exit = none, share = none, touch = none, unshare = none;
  u64 gpa = pool_gpa(&pool, index);
  volatile u64 *page = (volatile u64 *)(pool.pages + index * PAGE_SIZE);
  for (u64 i = 0; i < rounds; i++) {
    u64 t0 = rdtime();
    doorbell_present(bell);
    u64 t1 = rdtime();
    i64 error = doorbell_ask(bell, gpa, PAGE_SIZE, true);
    u64 t2 = rdtime();
    if (!error) *page = i;
    u64 t3 = rdtime();
    if (!error) error = doorbell_ask(bell, gpa, PAGE_SIZE, false);
    u64 t4 = rdtime();
    if (error) {
      print("round %lu: %s (%ld)\n", i, sbi_error_name(error), error);
      return FAILED;
    }
    add(&exit, t1 - t0);
    add(&share, t2 - t1);
    add(&touch, t3 - t2);
    add(&unshare, t4 - t3);
  }
  print("page 0x%lx, %lu rounds\n  %-24s %8s %8s %8s\n", gpa, rounds, "nanoseconds", "least", "mean", "most");
  print_times("MMIO exit to the VMM", &exit, rounds, timebase);
  print_times("share one page", &share, rounds, timebase);
  print_times("first touch after it", &touch, rounds, timebase);
  print_times("unshare it", &unshare, rounds, timebase);
  return OK;
}
