// gmemscope's doorbell: a page of MMIO that asks for conversions, where SBI calls cannot be made.
// Its registers are banked per hart, so the caller must stay on one hart from the first store to the load.
#pragma once
#include "types.h"

#define DOORBELL_COMPATIBLE "gmemscope,doorbell"
#define DOORBELL_MAGIC 0x6d656d67u

#define DOORBELL_REG_MAGIC 0x00 // 32 bits, the others 64
#define DOORBELL_REG_GPA 0x10
#define DOORBELL_REG_SIZE 0x18
#define DOORBELL_REG_SHARE 0x20
#define DOORBELL_REG_UNSHARE 0x28

static inline bool doorbell_present(const volatile u8 *page) {
  return *(const volatile u32 *)(page + DOORBELL_REG_MAGIC) == DOORBELL_MAGIC;
}

/** Asks to share or unshare `size` bytes from `gpa`; returns the SBI error when it is done. */
static inline i64 doorbell_ask(volatile u8 *page, u64 gpa, u64 size, bool share) {
  *(volatile u64 *)(page + DOORBELL_REG_GPA) = gpa;
  *(volatile u64 *)(page + DOORBELL_REG_SIZE) = size;
  return *(volatile i64 *)(page + (share ? DOORBELL_REG_SHARE : DOORBELL_REG_UNSHARE));
}
