// Fixed-width names for a freestanding build.
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long u64;
typedef long i64;

#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MAX_HARTS 8
#define PAGE_SIZE 4096UL

/** A large array that start-up does not clear (guest.ld). */
#define LAZY __attribute__((section(".bss.lazy")))
