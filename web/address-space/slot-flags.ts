// Memslot flags by name (include/uapi/linux/kvm.h, and KVM's own upper half in include/linux/kvm_host.h).

const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [1 << 0, 'LOG_DIRTY_PAGES'],
  [1 << 1, 'READONLY'],
  [1 << 2, 'GUEST_MEMFD'],
  [1 << 16, 'INVALID'],
  [1 << 17, 'GMEM_ONLY'],
]

/** The names of the flags set, without their KVM_MEM_ prefix. */
export const slotFlags = (flags: number): string[] =>
  FLAGS.filter(([bit]) => flags & bit).map(([, name]) => name)
