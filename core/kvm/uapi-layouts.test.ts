// Every structure of the uAPI against a table written out from include/uapi/linux/kvm.h (v7.2), and, where a C compiler
// and the kernel's headers are at hand, against what they say.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Kvm } from './uapi.ts'
import { layouts, type StructLayout } from './uapi-layouts.ts'
import {
  clearDirtyLogRequest,
  dirtyLog,
  enableCapRequest,
  preFaultRequest,
  readClearDirtyLog,
  readDirtyLog,
  readEnableCap,
  readPreFault,
  writePreFault,
} from './uapi-structs.ts'

/** `struct size: field offset size, ...` */
const table = `
kvm_userspace_memory_region 32: slot 0 4, flags 4 4, guest_phys_addr 8 8, memory_size 16 8, userspace_addr 24 8
kvm_userspace_memory_region2 160: slot 0 4, flags 4 4, guest_phys_addr 8 8, memory_size 16 8, userspace_addr 24 8, guest_memfd_offset 32 8, guest_memfd 40 4, pad1 44 4, pad2 48 112
kvm_create_guest_memfd 64: size 0 8, flags 8 8, reserved 16 48
kvm_memory_attributes 32: address 0 8, size 8 8, attributes 16 8, flags 24 8
kvm_memory_attributes2 128: address 0 8, offset 0 8, size 8 8, attributes 16 8, flags 24 8, error_offset 32 8, reserved 40 88
kvm_dirty_log 16: slot 0 4, padding1 4 4, dirty_bitmap 8 8
kvm_clear_dirty_log 24: slot 0 4, num_pages 4 4, first_page 8 8, dirty_bitmap 16 8
kvm_enable_cap 104: cap 0 4, flags 4 4, args 8 32, pad 40 64
kvm_pre_fault_memory 64: gpa 0 8, size 8 8, flags 16 8, padding 24 40
gmem_populate 64: gpa 0 8, size 8 8, source 16 8, flags 24 8, reserved 32 32
kvm_one_reg 16: id 0 8, addr 8 8
kvm_mp_state 4: mp_state 0 4
kvm_interrupt 4: irq 0 4
kvm_run 2352: request_interrupt_window 0 1, immediate_exit 1 1, exit_reason 8 4, ready_for_interrupt_injection 12 1, if_flag 13 1, flags 14 2, cr8 16 8, apic_base 24 8, hw.hardware_exit_reason 32 8, fail_entry.hardware_entry_failure_reason 32 8, fail_entry.cpu 40 4, mmio.phys_addr 32 8, mmio.data 40 8, mmio.len 48 4, mmio.is_write 52 1, hypercall.nr 32 8, hypercall.args 40 48, hypercall.ret 88 8, hypercall.flags 96 8, internal.suberror 32 4, internal.ndata 36 4, internal.data 40 128, system_event.type 32 4, system_event.ndata 36 4, system_event.data 40 128, riscv_sbi.extension_id 32 8, riscv_sbi.function_id 40 8, riscv_sbi.args 48 48, riscv_sbi.ret 96 16, riscv_csr.csr_num 32 8, riscv_csr.new_value 40 8, riscv_csr.write_mask 48 8, riscv_csr.ret_value 56 8, memory_fault.flags 32 8, memory_fault.gpa 40 8, memory_fault.size 48 8, kvm_valid_regs 288 8, kvm_dirty_regs 296 8, s 304 2048
`

const parse = (text: string): Record<string, StructLayout> =>
  Object.fromEntries(
    text
      .trim()
      .split('\n')
      .map((line) => {
        const [head, rest] = line.split(': ')
        const [name, size] = head.split(' ')
        const fields = rest.split(', ').map((field) => {
          const [fieldName, offset, bytes] = field.split(' ')
          return [fieldName, [Number(offset), Number(bytes)]]
        })
        return [name, { size: Number(size), fields: Object.fromEntries(fields) }]
      }),
  )

test('K2 every structure is as the table says', () => {
  expect(layouts).toEqual(parse(table))
})

describe('K2 the C compiler', () => {
  /** The value of a constant expression, as the size of an object; null where it does not compile: old headers. */
  const ask = (expression: string): number | null => {
    const directory = mkdtempSync(join(tmpdir(), 'uapi-'))
    try {
      const source = join(directory, 'ask.c')
      writeFileSync(
        source,
        `#include <stddef.h>\n#include <linux/kvm.h>\nconst char answer[sizeof(char[(${expression}) + 1])] = {1};\n`,
      )
      execFileSync('cc', ['-c', '-o', join(directory, 'ask.o'), source], { stdio: 'ignore' })
      const sizes = execFileSync('nm', ['-S', join(directory, 'ask.o')], { encoding: 'utf8' })
      const size = /^\S+ (\S+) R answer$/m.exec(sizes)
      return size ? Number.parseInt(size[1], 16) - 1 : null
    } catch {
      return null
    } finally {
      rmSync(directory, { recursive: true })
    }
  }

  const questions: [expression: string, expected: number][] = [
    ...Object.entries(layouts).map(([name, { size }]): [string, number] => [`sizeof(struct ${name})`, size]),
    ['offsetof(struct kvm_run, mmio.len)', layouts.kvm_run.fields['mmio.len'][0]],
    ['offsetof(struct kvm_run, mmio.is_write)', layouts.kvm_run.fields['mmio.is_write'][0]],
    ['offsetof(struct kvm_run, hypercall.ret)', layouts.kvm_run.fields['hypercall.ret'][0]],
    ['offsetof(struct kvm_run, riscv_sbi.ret)', layouts.kvm_run.fields['riscv_sbi.ret'][0]],
    ['offsetof(struct kvm_run, riscv_csr.ret_value)', layouts.kvm_run.fields['riscv_csr.ret_value'][0]],
    ['offsetof(struct kvm_run, system_event.data)', layouts.kvm_run.fields['system_event.data'][0]],
    ['offsetof(struct kvm_run, internal.data)', layouts.kvm_run.fields['internal.data'][0]],
    ['offsetof(struct kvm_run, fail_entry.cpu)', layouts.kvm_run.fields['fail_entry.cpu'][0]],
    ['offsetof(struct kvm_run, memory_fault.gpa)', layouts.kvm_run.fields['memory_fault.gpa'][0]],
    ['offsetof(struct kvm_run, kvm_valid_regs)', layouts.kvm_run.fields.kvm_valid_regs[0]],
    ['offsetof(struct kvm_run, s)', layouts.kvm_run.fields.s[0]],
    ['offsetof(struct kvm_clear_dirty_log, first_page)', layouts.kvm_clear_dirty_log.fields.first_page[0]],
    ['offsetof(struct kvm_enable_cap, pad)', layouts.kvm_enable_cap.fields.pad[0]],
    ['(KVM_RUN)', Kvm.RUN],
    ['(KVM_CREATE_VCPU)', Kvm.CREATE_VCPU],
    ['(KVM_GET_DIRTY_LOG & 0xffffff)', Kvm.GET_DIRTY_LOG & 0xffffff],
    ['(KVM_ENABLE_CAP & 0xffffff)', Kvm.ENABLE_CAP & 0xffffff],
    ['(KVM_CLEAR_DIRTY_LOG & 0xffffff)', Kvm.CLEAR_DIRTY_LOG & 0xffffff],
    ['(KVM_PRE_FAULT_MEMORY & 0xffffff)', Kvm.PRE_FAULT_MEMORY & 0xffffff],
  ]

  test('agrees about everything its headers know', { timeout: 60_000 }, () => {
    const answers = questions.map(([expression]) => ask(expression))
    const known = questions.filter((_, i) => answers[i] !== null)
    expect(answers.filter((answer) => answer !== null)).toEqual(known.map(([, expected]) => expected))
  })
})

describe('K2 requests, byte by byte', () => {
  /** The fields of a structure as the bytes have them; every other byte is zero. */
  const read = (bytes: Uint8Array, { size, fields }: StructLayout): Record<string, bigint> => {
    expect(bytes.length).toBe(size)
    const rest = bytes.slice()
    const values = Object.entries(fields).flatMap(([name, [offset, length]]): [string, bigint][] => {
      const part = rest.subarray(offset, offset + Math.min(length, 8))
      const value = part.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
      part.fill(0)
      return value === 0n ? [] : [[name, value]]
    })
    expect(rest.every((byte) => byte === 0)).toBe(true)
    return Object.fromEntries(values)
  }
  const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer)

  test('struct kvm_dirty_log', () => {
    const bytes = dirtyLog(0x1_0002, 2 ** 46)
    expect(read(bytes, layouts.kvm_dirty_log)).toEqual({ slot: 0x1_0002n, dirty_bitmap: 2n ** 46n })
    expect(readDirtyLog(viewOf(bytes))).toEqual({ slot: 0x1_0002, bitmap: 2 ** 46 })
  })

  test('struct kvm_clear_dirty_log', () => {
    const request = { slot: 3, pages: 70, firstPage: 2 ** 40, bitmap: 2 ** 45 }
    const bytes = clearDirtyLogRequest(request)
    expect(read(bytes, layouts.kvm_clear_dirty_log)).toEqual({
      slot: 3n,
      num_pages: 70n,
      first_page: 2n ** 40n,
      dirty_bitmap: 2n ** 45n,
    })
    expect(readClearDirtyLog(viewOf(bytes))).toEqual({ ...request, aligned: true })
  })

  test('struct kvm_enable_cap', () => {
    const bytes = enableCapRequest(201, 0x1000, 7)
    expect(read(bytes, layouts.kvm_enable_cap)).toEqual({ cap: 201n, flags: 7n, args: 0x1000n })
    expect(readEnableCap(viewOf(bytes))).toEqual({ cap: 201, flags: 7, argument: 0x1000 })
  })

  test('struct kvm_pre_fault_memory: gpa and size are written back', () => {
    const bytes = preFaultRequest(2 ** 40, 2 ** 30, 5)
    expect(read(bytes, layouts.kvm_pre_fault_memory)).toEqual({ gpa: 2n ** 40n, size: 2n ** 30n, flags: 5n })
    writePreFault(viewOf(bytes), { gpa: 4096, size: 0 })
    expect(readPreFault(viewOf(bytes))).toEqual({ gpa: 4096, size: 0, flags: 5 })
  })
})
