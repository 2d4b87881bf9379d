// Sv39, identity mapped, so that a command reaches any guest physical address and the hypervisor's second
// stage decides what happens there.
//
//   root[0..255]        1 GiB leaves, read and write, but for
//     root[image]       a table of 2 MiB leaves, read and write, but for
//       middle[image]   a table of 4 KiB leaves: text R-X, constants R--, data RW-
//
// A and D are set beforehand, so that no walk has to write to the tables.
#include "paging.h"

#include "../lib/csr.h"

#define V 0x01UL
#define R 0x02UL
#define W 0x04UL
#define X 0x08UL
#define G 0x20UL
#define A 0x40UL
#define D 0x80UL
#define LEAF (V | G | A | D)
#define SV39 (8UL << 60)

static u64 root[512] LAZY __attribute__((aligned(4096)));
static u64 middle[512] LAZY __attribute__((aligned(4096)));
static u64 image[512] LAZY __attribute__((aligned(4096)));

extern char image_start[], text_end[], rodata_end[];

u64 kernel_satp;

static u64 entry(u64 address, u64 flags) { return address >> 12 << 10 | flags; }

void paging_enable(void) {
  u64 start = (u64)image_start;
  u64 gigabyte = start >> 30 << 30;
  u64 block = start >> 21 << 21;
  for (u64 i = 0; i < 512; i++) {
    root[i] = i < 256 ? entry(i << 30, LEAF | R | W) : 0;
    u64 page = block + (i << 12);
    u64 rights = page < start ? R | W : page < (u64)text_end ? R | X : page < (u64)rodata_end ? R : R | W;
    middle[i] = entry(gigabyte + (i << 21), LEAF | R | W);
    image[i] = entry(page, LEAF | rights);
  }
  middle[(block >> 21) & 511] = entry((u64)image, V);
  root[gigabyte >> 30] = entry((u64)middle, V);
  kernel_satp = SV39 | (u64)root >> 12;
  sfence_vma();
  csr_write(satp, kernel_satp);
  sfence_vma();
}
