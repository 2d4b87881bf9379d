// Performs cases of ../vectors/README.md on the kernel it runs on, and prints what every step gave.
//
// stdin, by lines of words: `case`, then one line a step, then `end`. A step is the call's name and its arguments in
// the order of `calls` in recorder.ts. Integers are 64 bits wide, decimal or hexadecimal; `-` is an argument left out.
// stdout: a line a step, `RET ERRNO OUT`: ERRNO is `-` when there is none, OUT a JSON object; or `left out` for one
// that uses a mapping no step made. After each case
// `end STATUS`, STATUS being what waitpid says of the process that ran it.
//
// Each case runs in a process of its own, so it starts from nothing and leaves nothing behind.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

// As the kernel's headers of 6.18 have them; older ones lack some.
struct region2 {
  uint32_t slot, flags;
  uint64_t gpa, size, uaddr, offset;
  uint32_t fd, pad1;
  uint64_t pad2[14];
};
struct region {
  uint32_t slot, flags;
  uint64_t gpa, size, uaddr;
};
struct guest_memfd {
  uint64_t size, flags, reserved[6];
};
struct attributes {
  uint64_t address, size, attributes, flags;
};
#define SET_REGION _IOW(KVMIO, 0x46, struct region)
#define SET_REGION2 _IOW(KVMIO, 0x49, struct region2)
#define SET_ATTRIBUTES _IOW(KVMIO, 0xd2, struct attributes)
#define CREATE_GMEM _IOWR(KVMIO, 0xd4, struct guest_memfd)

enum { NAMES = 4096, WORDS = 40, LINE = 8192, FIRST_FD = 64, CLOSED = 0x70000000, BUFFER = 16 << 20 };
#define ONE_MIB 0x100000L
// Mappings lie this far apart at least, from the bottom up.
#define FIRST_HINT 0x100000000000UL
#define LAST_HINT 0x6f0000000000UL
#define GAP 0x10000000UL

static struct { char text[32]; int fd; uint8_t *start; uint64_t length; } names[NAMES];
static struct { dev_t device; ino_t inode; } inodes[NAMES];
static int name_count, inode_count, next_fd = FIRST_FD;
static uint64_t hint = FIRST_HINT;
static char *words[WORDS];
static uint8_t *buffer;
static sigjmp_buf fault, left_out;
static volatile int fault_signal, fault_code;
static char out[1 << 20];

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)context;
  fault_signal = signal;
  fault_code = info->si_code;
  siglongjmp(fault, 1);
}

static uint64_t word(int i) {
  const char *text = words[i];
  if (!text || !strcmp(text, "-")) return 0;
  return *text == '-' ? (uint64_t)strtoll(text, NULL, 10) : strtoull(text, NULL, 0);
}

static int find(const char *text) {
  for (int i = name_count - 1; i >= 0; i--)
    if (!strcmp(names[i].text, text)) return i;
  return -1;
}

// A descriptor argument: a raw number, or a name, which is a descriptor that is not open when nothing made it.
static int descriptor(int i) {
  if (*words[i] == '-' || (*words[i] >= '0' && *words[i] <= '9')) return (int)word(i);
  int at = find(words[i]);
  return at < 0 ? CLOSED : names[at].fd;
}

// A step that uses a mapping nobody made is left out.
static int mapping_called(const char *text) {
  int at = find(text);
  if (at < 0 || !names[at].start) siglongjmp(left_out, 1);
  return at;
}

static int mapping(int i) { return mapping_called(words[i]); }

static int new_name(const char *text) {
  if (name_count == NAMES) exit(3);
  snprintf(names[name_count].text, sizeof names[0].text, "%s", text);
  return name_count++;
}

// Moves what a call made to a number that no descriptor had before: closed names stay closed.
static long made(int as, int fd) {
  if (fd < 0) return -1;
  int moved = fcntl(fd, fcntl(fd, F_GETFD) & FD_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, next_fd);
  if (moved < 0) exit(3);
  close(fd);
  next_fd = moved + 1;
  names[new_name(words[as])].fd = moved;
  return 0;
}

static long mapped(int as, void *start, uint64_t length) {
  if (start == MAP_FAILED) return -1;
  int at = new_name(words[as]);
  names[at].start = start;
  names[at].length = length;
  return 0;
}

static void *next_hint(uint64_t length) {
  uint64_t span = ((length + 0xfff) & ~0xfffUL) + GAP;
  if (span < length || span > LAST_HINT - hint) return NULL;
  hint += span;
  return (void *)(hint - span);
}

// A user address: a number, or `anon:NAME` or `map:NAME`, with `+OFFSET`.
static uint64_t address(int i) {
  char *colon = strchr(words[i], ':');
  if (!colon) return word(i);
  char *plus = strchr(colon, '+');
  uint64_t offset = plus ? strtoull(plus + 1, NULL, 0) : 0;
  if (plus) *plus = 0;
  return (uint64_t)names[mapping_called(colon + 1)].start + offset;
}

static void list(int i, uint64_t *to, int count) {
  char *at = words[i];
  for (int n = 0; n < count && strcmp(at, "-") && *at; n++) {
    to[n] = *at == '-' ? (uint64_t)strtoll(at, &at, 10) : strtoull(at, &at, 0);
    if (*at == ',') at++;
  }
}

static int inode_relation(const struct stat *stat) {
  for (int i = 0; i < inode_count; i++)
    if (inodes[i].device == stat->st_dev && inodes[i].inode == stat->st_ino) return i;
  inodes[inode_count].device = stat->st_dev;
  inodes[inode_count].inode = stat->st_ino;
  return inode_count++;
}

static int open_other(const char *kind) {
  if (!strcmp(kind, "memfd") || !strcmp(kind, "memfd_secret")) {
    int fd = (int)(kind[5] ? syscall(SYS_memfd_secret, 0) : syscall(SYS_memfd_create, kind, 0));
    if (fd >= 0 && ftruncate(fd, ONE_MIB)) exit(3);
    return fd;
  }
  if (!strcmp(kind, "pipe")) {
    int ends[2];
    if (pipe(ends)) return -1;
    // The writing end stays open, out of the way, or a reader would see the end of the file.
    fcntl(ends[1], F_DUPFD, 60);
    close(ends[1]);
    return ends[0];
  }
  if (!strcmp(kind, "null")) return open("/dev/null", O_RDWR);
  if (!strcmp(kind, "eventfd")) return eventfd(0, 0);
  if (!strcmp(kind, "directory")) return open("/", O_RDONLY | O_DIRECTORY);
  if (!strcmp(kind, "path")) return open("/", O_PATH);
  fprintf(stderr, "no kind of file is called %s\n", kind);
  exit(3);
}

static void faulted(void) {
  int bus = fault_signal == SIGBUS;
  const char *code = "OTHER";
  if (bus && fault_code == BUS_ADRERR) code = "BUS_ADRERR";
  if (!bus && fault_code == SEGV_MAPERR) code = "SEGV_MAPERR";
  if (!bus && fault_code == SEGV_ACCERR) code = "SEGV_ACCERR";
  snprintf(out, sizeof out, "{\"signal\":\"%s\",\"code\":\"%s\"}", bus ? "SIGBUS" : "SIGSEGV", code);
}

// Loads and stores. -2: the access faulted.
static long memory(const char *call) {
  uint8_t *volatile at = names[mapping(1)].start + word(2);
  if (sigsetjmp(fault, 1)) {
    faulted();
    return -2;
  }
  volatile uint8_t *bytes = at;
  if (!strcmp(call, "mem_read")) {
    snprintf(out, sizeof out, "{\"value\":%d}", bytes[0]);
  } else if (!strcmp(call, "mem_write")) {
    bytes[0] = (uint8_t)word(3);
  } else if (!strcmp(call, "mem_fill")) {
    for (uint64_t i = 0, length = word(3), value = word(4); i < length; i++) bytes[i] = (uint8_t)value;
  } else {
    uint64_t i = 0, length = word(3), value = word(4);
    while (i < length && bytes[i] == value) i++;
    snprintf(out, sizeof out, "{\"equal\":%s}", i == length ? "true" : "false");
  }
  return 0;
}

static long resident(uint8_t *start, uint64_t length) {
  uint64_t pages = (length + 4095) / 4096;
  if (pages > sizeof out - 64) exit(3);
  unsigned char *flags = malloc(pages);
  long result = mincore(start, length, flags);
  if (result == 0) {
    char *to = out + sprintf(out, "{\"resident\":\"");
    for (uint64_t i = 0; i < pages; i++) *to++ = flags[i] & 1 ? '1' : '0';
    strcpy(to, "\"}");
  }
  free(flags);
  return result;
}

static long file_call(const char *call) {
  char path[64];
  int fd = descriptor(1);
  if (!strcmp(call, "fallocate")) return syscall(SYS_fallocate, fd, (int)word(2), word(3), word(4));
  if (!strcmp(call, "ftruncate")) return syscall(SYS_ftruncate, fd, word(2));
  if (!strcmp(call, "fchmod")) return fchmod(fd, (mode_t)word(2));
  if (!strcmp(call, "read")) return read(fd, buffer, word(2));
  if (!strcmp(call, "write")) return write(fd, buffer, word(2));
  if (!strcmp(call, "pread")) return syscall(SYS_pread64, fd, buffer, word(2), word(3));
  if (!strcmp(call, "pwrite")) return syscall(SYS_pwrite64, fd, buffer, word(2), word(3));
  if (!strcmp(call, "lseek")) return lseek(fd, (off_t)word(2), (int)word(3));
  if (!strcmp(call, "fcntl")) return syscall(SYS_fcntl, fd, (int)word(2), word(3));
  if (!strcmp(call, "fsync")) return fsync(fd);
  if (!strcmp(call, "close")) return close(fd);
  if (!strcmp(call, "dup")) return made(2, dup(fd));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (!strcmp(call, "reopen")) return made(3, open(path, (int)word(2)));
  if (!strcmp(call, "fstat")) {
    struct stat stat;
    if (fstat(fd, &stat)) return -1;
    snprintf(out, sizeof out,
             "{\"st_size\":%ld,\"st_blocks\":%ld,\"st_blksize\":%ld,\"st_mode\":%u,\"st_nlink\":%lu,\"ino\":%d}",
             stat.st_size, stat.st_blocks, stat.st_blksize, stat.st_mode, stat.st_nlink, inode_relation(&stat));
    return 0;
  }
  if (!strcmp(call, "fstatfs")) {
    struct statfs stat;
    if (fstatfs(fd, &stat)) return -1;
    snprintf(out, sizeof out, "{\"f_type\":%ld,\"f_bsize\":%ld,\"f_blocks\":%lu,\"f_namelen\":%ld}",
             stat.f_type, stat.f_bsize, stat.f_blocks, stat.f_namelen);
    return 0;
  }
  if (!strcmp(call, "readlink_fd")) {
    char name[256] = "";
    if (readlink(path, name, sizeof name - 1) < 0) return -1;
    snprintf(out, sizeof out, "{\"name\":\"%s\"}", name);
    return 0;
  }
  fprintf(stderr, "no call is named %s\n", call);
  exit(3);
}

static long perform(void) {
  const char *call = words[0];
  if (!strcmp(call, "create_vm")) return made(2, ioctl(names[find("kvm")].fd, KVM_CREATE_VM, word(1)));
  if (!strcmp(call, "check_extension")) return ioctl(descriptor(1), KVM_CHECK_EXTENSION, word(2));
  if (!strcmp(call, "create_guest_memfd")) {
    struct guest_memfd request = {.size = word(2), .flags = word(3)};
    list(4, request.reserved, 6);
    return made(5, ioctl(descriptor(1), CREATE_GMEM, &request));
  }
  if (!strcmp(call, "set_user_memory_region2")) {
    struct region2 request = {(uint32_t)word(2), (uint32_t)word(3), word(4), word(5), address(6), word(8),
                              (uint32_t)descriptor(7), (uint32_t)word(9), {0}};
    list(10, request.pad2, 14);
    return ioctl(descriptor(1), SET_REGION2, &request);
  }
  if (!strcmp(call, "set_user_memory_region")) {
    struct region request = {(uint32_t)word(2), (uint32_t)word(3), word(4), word(5), address(6)};
    return ioctl(descriptor(1), SET_REGION, &request);
  }
  if (!strcmp(call, "set_memory_attributes")) {
    struct attributes request = {word(2), word(3), word(4), word(5)};
    return ioctl(descriptor(1), SET_ATTRIBUTES, &request);
  }
  if (!strcmp(call, "open_other")) return made(2, open_other(words[1]));
  if (!strcmp(call, "mmap")) {
    uint64_t length = word(4);
    long start = syscall(SYS_mmap, next_hint(length), length, word(2), word(3), descriptor(1), word(5));
    return mapped(6, (void *)start, length);
  }
  if (!strcmp(call, "mmap_anon")) {
    uint64_t length = word(1);
    void *start = mmap(next_hint(length), length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mapped(2, start, length);
  }
  if (!strcmp(call, "munmap")) {
    int at = mapping(1);
    uint64_t length = strcmp(words[3], "-") ? word(3) : names[at].length;
    return syscall(SYS_munmap, names[at].start + word(2), length);
  }
  if (!strcmp(call, "madvise"))
    return syscall(SYS_madvise, names[mapping(1)].start + word(3), word(4), (int)word(2));
  if (!strcmp(call, "mprotect")) {
    int at = mapping(1);
    return syscall(SYS_mprotect, names[at].start, names[at].length, word(2));
  }
  if (!strcmp(call, "mlock")) {
    int at = mapping(1);
    return syscall(SYS_mlock, names[at].start, names[at].length);
  }
  if (!strcmp(call, "mincore")) {
    int at = mapping(1);
    return resident(names[at].start, names[at].length);
  }
  if (!strncmp(call, "mem_", 4)) return memory(call);
  return file_call(call);
}

static void step(char *line) {
  int count = 0;
  for (char *text = strtok(line, " \n"); text && count < WORDS - 1; text = strtok(NULL, " \n")) words[count++] = text;
  words[count] = NULL;
  strcpy(out, "{}");
  if (sigsetjmp(left_out, 1)) {
    printf("left out\n");
    return;
  }
  errno = 0;
  long result = perform();
  const char *name = result == -1 ? strerrorname_np(errno) : "-";
  if (result < 0) {
    if (result == -1) strcpy(out, "{}");
    result = -1;
  }
  printf("%ld %s %s\n", result, name ? name : "-", out);
}

static void run_case(char *steps) {
  struct rlimit files = {8192, 8192};
  setrlimit(RLIMIT_NOFILE, &files);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  alarm(20);
  umask(022);
  buffer = calloc(1, BUFFER);
  words[1] = "kvm";
  if (made(1, open("/dev/kvm", O_RDWR | O_CLOEXEC))) {
    perror("/dev/kvm");
    exit(2);
  }
  for (char *line = steps, *next; *line; line = next) {
    next = strchr(line, '\n') + 1;
    next[-1] = 0;
    step(line);
  }
}

int main(void) {
  static char line[LINE];
  char *steps = NULL;
  size_t length = 0, capacity = 0;
  while (fgets(line, sizeof line, stdin)) {
    if (!strcmp(line, "case\n")) {
      length = 0;
    } else if (strcmp(line, "end\n")) {
      size_t more = strlen(line);
      if (length + more + 1 > capacity) steps = realloc(steps, capacity = 2 * (length + more + 1));
      memcpy(steps + length, line, more + 1);
      length += more;
    } else {
      fflush(stdout);
      pid_t child = fork();
      if (child == 0) {
        run_case(length ? steps : "");
        fflush(stdout);
        _exit(0);
      }
      int status;
      if (child < 0 || waitpid(child, &status, 0) < 0) return 1;
      printf("end %d\n", status);
    }
  }
  return 0;
}
