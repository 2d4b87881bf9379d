// Device registers, of their own width each.
#pragma once
#include "../lib/types.h"

static inline u8 read8(u64 at) { return *(volatile u8 *)at; }
static inline unsigned short read16(u64 at) { return *(volatile unsigned short *)at; }
static inline u32 read32(u64 at) { return *(volatile u32 *)at; }
static inline void write8(u64 at, u8 value) { *(volatile u8 *)at = value; }
static inline void write16(u64 at, unsigned short value) { *(volatile unsigned short *)at = value; }
/** Memory and device accesses before it come before those after it. */
#define io_fence() __asm__ volatile("fence iorw, iorw" ::: "memory")

static inline void write32(u64 at, u32 value) { *(volatile u32 *)at = value; }
