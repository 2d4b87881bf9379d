# Entry points: the boot hart (a0 = hart id, a1 = device tree, satp = 0), and harts that `smp` starts
# (a0 = hart id, a1 = its struct cpu). The bss is cleared because a reset need not load it again; stacks and
# tables lie outside it, for every page touched here would be one more page of private memory.

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
  lla sp, boot_stack + STACK_SIZE
  lla tp, boot_cpu
  lla t0, trap_entry
  csrw stvec, t0
  call monitor_main
1:
  wfi
  j 1b

  .globl secondary_start
secondary_start:
  csrw sie, zero
  mv tp, a1
  ld sp, 0(tp)
  lla t0, trap_entry
  csrw stvec, t0
  lla t0, kernel_satp
  ld t0, 0(t0)
  csrw satp, t0
  sfence.vma
  call secondary_main
1:
  wfi
  j 1b

# int guard_set(struct guard *): 0 now, 1 when guard_leave comes back here.
  .globl guard_set
guard_set:
  sd ra, 0(a0)
  sd sp, 8(a0)
  sd s0, 16(a0)
  sd s1, 24(a0)
  sd s2, 32(a0)
  sd s3, 40(a0)
  sd s4, 48(a0)
  sd s5, 56(a0)
  sd s6, 64(a0)
  sd s7, 72(a0)
  sd s8, 80(a0)
  sd s9, 88(a0)
  sd s10, 96(a0)
  sd s11, 104(a0)
  li a0, 0
  ret

# void guard_leave(struct guard *): returns from guard_set a second time.
  .globl guard_leave
guard_leave:
  ld ra, 0(a0)
  ld sp, 8(a0)
  ld s0, 16(a0)
  ld s1, 24(a0)
  ld s2, 32(a0)
  ld s3, 40(a0)
  ld s4, 48(a0)
  ld s5, 56(a0)
  ld s6, 64(a0)
  ld s7, 72(a0)
  ld s8, 80(a0)
  ld s9, 88(a0)
  ld s10, 96(a0)
  ld s11, 104(a0)
  li a0, 1
  ret

# The trap vector. Everything runs in supervisor mode on one stack per hart, so only the registers that a
# C function may clobber need saving.
  .balign 4
trap_entry:
  addi sp, sp, -144
  sd ra, 0(sp)
  sd t0, 8(sp)
  sd t1, 16(sp)
  sd t2, 24(sp)
  sd t3, 32(sp)
  sd t4, 40(sp)
  sd t5, 48(sp)
  sd t6, 56(sp)
  sd a0, 64(sp)
  sd a1, 72(sp)
  sd a2, 80(sp)
  sd a3, 88(sp)
  sd a4, 96(sp)
  sd a5, 104(sp)
  sd a6, 112(sp)
  sd a7, 120(sp)
  call trap
  ld ra, 0(sp)
  ld t0, 8(sp)
  ld t1, 16(sp)
  ld t2, 24(sp)
  ld t3, 32(sp)
  ld t4, 40(sp)
  ld t5, 48(sp)
  ld t6, 56(sp)
  ld a0, 64(sp)
  ld a1, 72(sp)
  ld a2, 80(sp)
  ld a3, 88(sp)
  ld a4, 96(sp)
  ld a5, 104(sp)
  ld a6, 112(sp)
  ld a7, 120(sp)
  addi sp, sp, 144
  sret

  .section .bss.lazy, "aw", @nobits
  .balign 16
boot_stack:
  .space STACK_SIZE
