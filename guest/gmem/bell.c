// Found in the device tree that Linux shows in /sys, mapped through /dev/mem.
#include "bell.h"

#include "../lib/doorbell.h"
#include "../lib/print.h"
#include "../lib/string.h"
#include "linux.h"

#define TREE "/sys/firmware/devicetree/base"
#define NODES TREE "/soc"
#define PREFIX "doorbell@"

/** struct linux_dirent64. */
struct entry {
  u64 inode;
  i64 offset;
  unsigned short size;
  u8 type;
  char name[];
};

/** The first cells of a property, most significant byte first; 0 when it has less than `size` bytes. */
static u64 property(const char *path, i64 size) {
  u8 bytes[8];
  u64 value = 0;
  i64 fd = linux_open(path, O_RDONLY);
  if (fd < 0 || linux_read_at(fd, bytes, (u64)size, 0) != size) return 0;
  linux_close(fd);
  for (i64 i = 0; i < size; i++) value = value << 8 | bytes[i];
  return value;
}

u64 bell_timebase(void) { return property(TREE "/cpus/timebase-frequency", 4); }

static u64 address_of(const char *name) {
  char path[128] = NODES "/";
  u64 length = strlen(path), name_length = strlen(name);
  if (length + name_length + sizeof "/reg" > sizeof path) return 0;
  memcpy(path + length, name, name_length);
  memcpy(path + length + name_length, "/reg", sizeof "/reg");
  return property(path, 8);
}

u64 bell_address(void) {
  u64 buffer[256]; // entries are aligned to eight bytes
  i64 fd = linux_open(NODES, O_RDONLY);
  if (fd < 0) return 0;
  for (i64 size; (size = linux_entries(fd, buffer, sizeof buffer)) > 0;)
    for (i64 at = 0; at < size;) {
      const struct entry *entry = (const struct entry *)((const u8 *)buffer + at);
      if (starts_with(entry->name, PREFIX)) return address_of(entry->name);
      at += entry->size;
    }
  return 0;
}

volatile u8 *bell_open(void) {
  u64 address = bell_address();
  if (!address) {
    put("this machine has no doorbell: its memory cannot be converted from here\n");
    return NULL;
  }
  i64 fd = linux_open("/dev/mem", O_RDWR | O_SYNC);
  i64 page = fd < 0 ? fd : linux_map(fd, PAGE_SIZE, address);
  if (page < 0) {
    print("the doorbell at 0x%lx cannot be mapped through /dev/mem (errno %ld): run gmem as root\n", address, -page);
    return NULL;
  }
  // The registers are banked by hart.
  if (linux_stay_here() < 0 || !doorbell_present((volatile u8 *)page)) {
    print("what lies at 0x%lx does not answer as a doorbell\n", address);
    return NULL;
  }
  return (volatile u8 *)page;
}
