// Linux system calls: numbers and flags of the generic table (include/uapi/asm-generic/unistd.h), which RISC-V uses.
// Each returns -errno when it fails.
#pragma once
#include "../lib/types.h"

#define O_RDONLY 0
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_SYNC 04010000
#define EEXIST 17
#define ENOENT 2

i64 system_call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);

i64 linux_open(const char *path, u32 flags);
void linux_close(i64 fd);
/** Bytes read at `offset`. */
i64 linux_read_at(i64 fd, void *to, u64 size, u64 offset);
i64 linux_write(i64 fd, const void *from, u64 size);
i64 linux_truncate(i64 fd, u64 size);
i64 linux_unlink(const char *path);
/** Directory entries, as getdents64 packs them. */
i64 linux_entries(i64 fd, void *to, u64 size);
/** Maps [offset, offset + size) of a file for reading and writing, shared and populated; the address or -errno. */
i64 linux_map(i64 fd, u64 size, u64 offset);
i64 linux_lock_memory(const void *at, u64 size);
/** Waits for the file's lock, which ends with the program. */
i64 linux_lock_file(i64 fd);
/** 0 in the child, its process id in the parent. */
i64 linux_fork(void);
/** Leaves the terminal and its process group. */
void linux_detach(void);
/** Sleeps until a signal ends the program. */
void linux_pause(void) __attribute__((noreturn));
void linux_sleep(u64 milliseconds);
i64 linux_kill(i64 pid);
/** Binds the program to the processor it runs on. */
i64 linux_stay_here(void);
/** Monotonic, in nanoseconds. */
u64 linux_now(void);
void linux_exit(int status) __attribute__((noreturn));
