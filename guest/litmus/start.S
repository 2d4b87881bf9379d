# Entry points of the litmus tests: the boot hart (a0 = hart id, a1 = device tree) and the second one
# (a0 = hart id, a1 = unused). Translation stays off: all memory may be written and run.

#define STACK_SIZE 4096

  .section .text.start, "ax"
  .globl _start
_start:
  csrw sie, zero
  lla t0, bss_start
  lla t1, bss_end
1:
  bgeu t0, t1, 2f
  sd zero, 0(t0)
  addi t0, t0, 8
  j 1b
2:
  lla sp, stacks + STACK_SIZE
  lla t0, trap_entry
  csrw stvec, t0
  call litmus_main
1:
  wfi
  j 1b

  .globl second_start
second_start:
  csrw sie, zero
  lla sp, stacks + 2 * STACK_SIZE
  lla t0, trap_entry
  csrw stvec, t0
  call second_main
1:
  wfi
  j 1b

  .balign 4
trap_entry:
  call trap

  .section .bss.lazy, "aw", @nobits
  .balign 16
stacks:
  .space 2 * STACK_SIZE
