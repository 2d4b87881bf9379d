// Where Linux starts the program: the stack holds argc, then argv. And the one way into the kernel.
  .section .text.start, "ax"
  .globl _start
_start:
  ld a0, 0(sp)
  addi a1, sp, 8
  andi sp, sp, -16
  call gmem_main
  li a7, 94 // exit_group
  ecall

// i64 system_call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
  .globl system_call
system_call:
  mv a7, a0
  mv a0, a1
  mv a1, a2
  mv a2, a3
  mv a3, a4
  mv a4, a5
  mv a5, a6
  ecall
  ret
