// The flags of a memslot and of a Gunyah binding by name (include/uapi/linux/kvm.h, and KVM's own upper half in
// include/linux/kvm_host.h; include/uapi/linux/gunyah.h of the posted series, v17).

type Names = readonly (readonly [bit: number, name: string])[]

const SLOT: Names = [
  [1 << 0, 'LOG_DIRTY_PAGES'],
  [1 << 1, 'READONLY'],
  [1 << 2, 'GUEST_MEMFD'],
  [1 << 16, 'INVALID'],
  [1 << 17, 'GMEM_ONLY'],
]

const BINDING: Names = [
  [1 << 0, 'FORCE_LEND'],
  [1 << 1, 'FORCE_SHARE'],
  [1 << 4, 'ALLOW_READ'],
  [1 << 5, 'ALLOW_WRITE'],
  [1 << 6, 'ALLOW_EXEC'],
]

/** The names of the flags set, without their KVM_MEM_ or GUNYAH_MEM_ prefix. */
export const rangeFlags = (flags: number, underGunyah: boolean): string[] =>
  (underGunyah ? BINDING : SLOT).filter(([bit]) => flags & bit).map(([, name]) => name)

/** What such a range of guest memory is called. */
export const rangeName = (underGunyah: boolean): string => (underGunyah ? 'Binding' : 'Memslot')
