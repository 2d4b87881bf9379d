# Entry point of the virtio test: one hart (a0 = hart id, a1 = device tree), translation off.

#define STACK_SIZE 8192

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
  lla sp, stack + STACK_SIZE
  lla t0, trap_entry
  csrw stvec, t0
  call virtio_main
1:
  wfi
  j 1b

  .balign 4
trap_entry:
  call trap

  .section .bss.lazy, "aw", @nobits
  .balign 16
stack:
  .space STACK_SIZE
