// Control and status registers, fences and time.
#pragma once
#include "types.h"

#define csr_read(name)                                          \
  ({                                                            \
    u64 value_;                                                 \
    __asm__ volatile("csrr %0, " #name : "=r"(value_)::"memory"); \
    value_;                                                     \
  })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"rK"((u64)(value)) : "memory")
#define csr_set(name, bits) __asm__ volatile("csrs " #name ", %0" ::"rK"((u64)(bits)) : "memory")
#define csr_clear(name, bits) __asm__ volatile("csrc " #name ", %0" ::"rK"((u64)(bits)) : "memory")

#define SSTATUS_SIE (1UL << 1)
#define SIE_SEIE (1UL << 9)
#define SCAUSE_INTERRUPT (1UL << 63)
#define IRQ_S_EXTERNAL 9

#define fence() __asm__ volatile("fence rw, rw" ::: "memory")
#define fence_i() __asm__ volatile("fence.i" ::: "memory")
#define sfence_vma() __asm__ volatile("sfence.vma" ::: "memory")
#define wfi() __asm__ volatile("wfi" ::: "memory")

static inline u64 rdtime(void) { return csr_read(time); }
