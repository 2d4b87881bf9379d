// System calls by their numbers.
#include "linux.h"

#define AT_FDCWD (-100L)
#define PROT_READ_WRITE 3
#define MAP_SHARED_POPULATE 0x8001
#define LOCK_EX 2
#define SIGCHLD 17
#define SIGTERM 15
#define CLOCK_MONOTONIC 1

#define CALL(number, a, b, c, d, e, f) system_call(number, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))

struct timespec {
  i64 seconds, nanoseconds;
};

i64 linux_open(const char *path, u32 flags) { return CALL(56, AT_FDCWD, path, flags, 0600, 0, 0); }
void linux_close(i64 fd) { CALL(57, fd, 0, 0, 0, 0, 0); }
i64 linux_read_at(i64 fd, void *to, u64 size, u64 offset) { return CALL(67, fd, to, size, offset, 0, 0); }
i64 linux_write(i64 fd, const void *from, u64 size) { return CALL(64, fd, from, size, 0, 0, 0); }
i64 linux_truncate(i64 fd, u64 size) { return CALL(46, fd, size, 0, 0, 0, 0); }
i64 linux_unlink(const char *path) { return CALL(35, AT_FDCWD, path, 0, 0, 0, 0); }
i64 linux_entries(i64 fd, void *to, u64 size) { return CALL(61, fd, to, size, 0, 0, 0); }
i64 linux_map(i64 fd, u64 size, u64 offset) {
  return CALL(222, 0, size, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset);
}
i64 linux_lock_memory(const void *at, u64 size) { return CALL(228, at, size, 0, 0, 0, 0); }
i64 linux_lock_file(i64 fd) { return CALL(32, fd, LOCK_EX, 0, 0, 0, 0); }
i64 linux_fork(void) { return CALL(220, SIGCHLD, 0, 0, 0, 0, 0); }
void linux_detach(void) {
  for (i64 fd = 0; fd < 3; fd++) linux_close(fd);
  CALL(157, 0, 0, 0, 0, 0, 0); // setsid
}
void linux_pause(void) {
  for (;;) CALL(73, 0, 0, 0, 0, 0, 0); // ppoll of nothing
}
void linux_sleep(u64 milliseconds) {
  struct timespec time = {(i64)(milliseconds / 1000), (i64)(milliseconds % 1000 * 1000000)};
  CALL(101, &time, 0, 0, 0, 0, 0);
}
i64 linux_kill(i64 pid) { return CALL(129, pid, SIGTERM, 0, 0, 0, 0); }
i64 linux_stay_here(void) {
  u32 cpu = 0;
  i64 error = CALL(168, &cpu, 0, 0, 0, 0, 0); // getcpu
  u64 mask[16] = {0}; // 1024 processors
  mask[cpu / 64 % 16] = 1UL << cpu % 64;
  return error ? error : CALL(122, 0, sizeof mask, mask, 0, 0, 0); // sched_setaffinity
}
u64 linux_now(void) {
  struct timespec time;
  CALL(113, CLOCK_MONOTONIC, &time, 0, 0, 0, 0);
  return (u64)time.seconds * 1000000000UL + (u64)time.nanoseconds;
}
void linux_exit(int status) {
  for (;;) CALL(94, status, 0, 0, 0, 0, 0);
}
