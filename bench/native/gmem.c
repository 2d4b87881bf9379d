// Native speed of guest_memfd on the running kernel: a 256 MiB file of 4 KiB pages.
// usage: gmem WORK     one run of that work after a warm-up; prints its rate. A run that other work on the
// machine disturbed is done again. Without WORK: the names there are, one a line.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull
#define CHUNK (2ull << 20)
#define SIZE (256ull << 20)
#define PAGES (SIZE / PAGE)
#define KVM_CREATE_VM_NR 0xAE01u
#define KVM_SET_USER_MEMORY_REGION2_NR ((1u << 30) | (160u << 16) | 0xAE49u)
#define KVM_CREATE_GUEST_MEMFD_NR ((3u << 30) | (64u << 16) | 0xAED4u)
enum { KEEP = 1, PUNCH = 2 };

struct gmem_args { uint64_t size, flags, reserved[6]; };
struct region_args {
  uint32_t slot, flags;
  uint64_t gpa, size, uaddr, offset;
  uint32_t fd, pad1;
  uint64_t pad2[14];
};

static int kvm, vm;

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int new_vm(void) {
  int fd = ioctl(kvm, KVM_CREATE_VM_NR, 0);
  if (fd < 0) die("KVM_CREATE_VM");
  return fd;
}

static int new_gmem(int on, uint64_t size, uint64_t flags) {
  struct gmem_args a = {.size = size, .flags = flags};
  int fd = ioctl(on, KVM_CREATE_GUEST_MEMFD_NR, &a);
  if (fd < 0) die("KVM_CREATE_GUEST_MEMFD");
  return fd;
}

static void range(int fd, int mode, uint64_t offset, uint64_t len) {
  if (syscall(SYS_fallocate, fd, mode, offset, len)) die("fallocate");
}

static void set_slot(int on, uint32_t slot, uint64_t gpa, uint64_t size, int fd, uint64_t offset) {
  struct region_args r = {.slot = slot, .flags = 4, .gpa = gpa, .size = size, .fd = fd, .offset = offset};
  if (ioctl(on, KVM_SET_USER_MEMORY_REGION2_NR, &r)) die("KVM_SET_USER_MEMORY_REGION2");
}

// Each bench does its work once and returns the seconds its timed part took.
// A run repeats it until the timed parts add up to half a second.
enum { CREATES = 20000, PAIRS = 1000 };

static double create_close(void) {
  double t = now();
  for (int i = 0; i < CREATES; i++) close(new_gmem(vm, SIZE, 0));
  return now() - t;
}

static double whole(bool first, int mode) {
  int fd = new_gmem(vm, SIZE, 0);
  if (first) range(fd, KEEP, 0, SIZE);
  double t = now();
  range(fd, mode, 0, SIZE);
  t = now() - t;
  close(fd);
  return t;
}
static double fallocate_whole(void) { return whole(false, KEEP); }
static double fallocate_again(void) { return whole(true, KEEP); }
static double punch_whole(void) { return whole(true, KEEP | PUNCH); }

static double alternate(uint64_t step) {
  int fd = new_gmem(vm, SIZE, 0);
  double t = now();
  for (uint64_t at = 0; at < SIZE; at += step) {
    range(fd, KEEP, at, step);
    range(fd, KEEP | PUNCH, at, step);
  }
  t = now() - t;
  close(fd);
  return t;
}
static double alternate_pages(void) { return alternate(PAGE); }
static double alternate_chunks(void) { return alternate(CHUNK); }

static double fault(bool allocated) {
  int fd = new_gmem(vm, SIZE, 3);
  if (allocated) range(fd, KEEP, 0, SIZE);
  unsigned char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) die("mmap");
  double t = now();
  for (uint64_t at = 0; at < SIZE; at += PAGE) *(volatile unsigned char *)(p + at) = 1;
  t = now() - t;
  munmap(p, SIZE);
  close(fd);
  return t;
}
static double fault_fresh(void) { return fault(false); }
static double fault_allocated(void) { return fault(true); }

static double bind_delete(int others, uint64_t size) {
  int on = new_vm(), fd = new_gmem(on, SIZE, 0), rest = new_gmem(on, 512 * PAGE, 0);
  for (int i = 0; i < others; i++) set_slot(on, 1 + i, (4ull << 30) + i * 2 * PAGE, PAGE, rest, i * PAGE);
  double t = now();
  for (int i = 0; i < PAIRS; i++) {
    set_slot(on, 0, 0, size, fd, 0);
    set_slot(on, 0, 0, 0, fd, 0);
  }
  t = now() - t;
  close(rest);
  close(fd);
  close(on);
  return t;
}
static double bind_2m_1(void) { return bind_delete(1, CHUNK); }
static double bind_2m_500(void) { return bind_delete(500, CHUNK); }
static double bind_256m_1(void) { return bind_delete(1, SIZE); }
static double bind_256m_500(void) { return bind_delete(500, SIZE); }

static const struct { const char *name; double work; double (*once)(void); } benches[] = {
  {"create_close", CREATES, create_close},
  {"fallocate_whole", PAGES, fallocate_whole},
  {"fallocate_again", PAGES, fallocate_again},
  {"punch_whole", PAGES, punch_whole},
  {"alternate_pages", 2 * PAGES, alternate_pages},
  {"alternate_2m", 2 * PAGES, alternate_chunks},
  {"fault_fresh", PAGES, fault_fresh},
  {"fault_allocated", PAGES, fault_allocated},
  {"bind_delete_2m_1_other", PAIRS, bind_2m_1},
  {"bind_delete_2m_500_others", PAIRS, bind_2m_500},
  {"bind_delete_256m_1_other", PAIRS, bind_256m_1},
  {"bind_delete_256m_500_others", PAIRS, bind_256m_500},
};
enum { BENCHES = sizeof benches / sizeof *benches };

// Seconds of processor time the whole machine has spent working, all CPUs.
static double machine_busy(void) {
  unsigned long long v[8] = {0};
  FILE *f = fopen("/proc/stat", "r");
  if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4,
                   v + 5, v + 6, v + 7) != 8) die("/proc/stat");
  fclose(f);
  return (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / sysconf(_SC_CLK_TCK);
}

static double own_cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// One run's rate. `others` is the share of one CPU that other work took meanwhile.
static double measure(int b, double *others) {
  double wall = now(), busy = machine_busy(), own = own_cpu(), spent = 0, times = 0;
  do { spent += benches[b].once(); times++; } while (spent < 0.5);
  *others = (machine_busy() - busy - (own_cpu() - own)) / (now() - wall);
  return times * benches[b].work / spent;
}

int main(int argc, char **argv) {
  int b = 0;
  if (argc < 2) {
    for (; b < BENCHES; b++) puts(benches[b].name);
    return 0;
  }
  while (b < BENCHES && strcmp(benches[b].name, argv[1])) b++;
  if (b == BENCHES) {
    fprintf(stderr, "no work is called %s\n", argv[1]);
    return 2;
  }
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(0, &cpu);  // where SRCU's work runs: elsewhere each delete waits for an idle CPU to wake
  sched_setaffinity(0, sizeof cpu, &cpu);
  kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) die("KVM device");
  vm = new_vm();
  double rate, others, limit = b < 8 ? 0.1 : 0.6;  // deleting a slot wakes kernel threads
  measure(b, &others);
  for (int tries = 0; rate = measure(b, &others), others >= limit && tries < 20; tries++) usleep(200000);
  printf("%.0f\n", rate);
  return 0;
}
