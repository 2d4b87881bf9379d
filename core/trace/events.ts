// The trace events: one row each, with the kernel's tracepoint name and the meaning of its fields.
//
// Names that exist upstream come from include/trace/events/kvm.h and arch/riscv/kvm/trace.h; those that do
// not are project-own and start with kvm_gmem_, gunyah_ or gmemscope_. Addresses and frame numbers are exact doubles.

interface TraceEvent {
  readonly name: string
  /** Names of the fields, in record order. */
  readonly fields: readonly string[]
  readonly own: boolean
}

const upstream = (name: string, ...fields: string[]): TraceEvent => ({ name, fields, own: false })
const own = (name: string, ...fields: string[]): TraceEvent => ({ name, fields, own: true })

/** By event number; the order is part of every recorded trace: append only. */
export const traceEvents: readonly TraceEvent[] = [
  upstream('kvm_entry', 'pc'),
  upstream('kvm_exit', 'sepc', 'scause', 'stval', 'htval', 'htinst'),
  upstream('kvm_userspace_exit', 'reason', 'errno'),
  upstream('kvm_mmio', 'type', 'len', 'gpa', 'val'),
  upstream('kvm_vm_set_mem_attributes', 'start', 'end', 'attributes'),
  upstream('kvm_unmap_hva_range', 'start', 'end'),
  upstream('kvm_vcpu_wakeup', 'ns', 'waited', 'valid'),
  // file: row in the file table; slot: memslot id; indexes and gfns in pages
  own('gmem_create', 'file', 'size', 'flags'),
  own('kvm_gmem_bind', 'file', 'slot', 'index', 'pages', 'gfn'),
  own('kvm_gmem_unbind', 'file', 'slot', 'index', 'pages'),
  own('gmem_allocate', 'file', 'index', 'pages'),
  own('gmem_punch_hole', 'file', 'index', 'pages', 'freed', 'zapped'),
  own('gmem_get_pfn', 'file', 'index', 'pfn', 'zeroed'),
  own('gmem_release', 'file'),
  own('kvm_gmem_populate', 'file', 'index', 'pages'),
  // from: attribute bits of the first gfn before; zapped: stage-2 leaves; asker: Asker; ns: from the ask to done
  own('kvm_gmem_convert', 'start', 'end', 'from', 'to', 'zapped'),
  own('gmemscope_convert_done', 'start', 'end', 'to', 'asker', 'ns', 'errno'),
  // level: 0 is a leaf of 4 KiB, 1 one of the 2 MiB around the gfn
  own('gmemscope_stage2_map', 'gfn', 'pfn', 'writable', 'private', 'level'),
  own('gmemscope_memslot', 'change', 'slot', 'gfn', 'pages', 'flags'),
  own('gmemscope_memory_fault', 'gpa', 'size', 'flags', 'errno'),
  own('gmemscope_host_fault', 'hva', 'write', 'signal', 'code'),
  upstream('kvm_set_vm_mem_attributes', 'start', 'end', 'attributes'),
  // private: 1, shared: 0; zapped: stage-2 leaves
  own('gmem_set_attributes', 'file', 'index', 'pages', 'private', 'zapped'),
  own('gmem_split_folio', 'file', 'index', 'pfn'),
  own('gmem_merge_folio', 'file', 'index', 'pfn'),
  // type: PageType of the frame
  own('gmemscope_memory_failure', 'pfn', 'type', 'index'),
  own('gmem_error_folio', 'file', 'index', 'pfn', 'zapped'),
  // pinned: 1 taken, 0 given back (pfn 0)
  own('gmemscope_pin', 'gpa', 'pfn', 'pinned'),
  // frames: free, and held by the process that makes the pressure
  own('gmemscope_pressure', 'free', 'hog'),
  // error: RmError; option: DonateOption; from, to: extent labels; access, flags: Access, MapFlag
  own('gunyah_rm_call', 'vmid', 'message', 'error'),
  own('gunyah_memextent_donate', 'option', 'pfn', 'pages', 'from', 'to'),
  own('gunyah_addrspace_map', 'vmid', 'gfn', 'pfn', 'access', 'flags'),
  own('gunyah_addrspace_unmap', 'vmid', 'gfn', 'pfn'),
  own('gunyah_sanitise', 'pfn'),
  // Gunyah, whose driver has no tracepoints: all project-own
  own('gunyah_vcpu_entry', 'pc'),
  own('gunyah_vcpu_exit', 'sepc', 'scause', 'stval', 'htval', 'htinst'),
  own('gunyah_vcpu_mmio', 'type', 'len', 'gpa', 'val'),
  own('gunyah_vcpu_wakeup', 'ns', 'waited', 'valid'),
  own('gunyah_vcpu_run', 'vcpu', 'reason'),
  // file: row in the file table; binding: number of the binding in its VM
  own('gunyah_gmem_bind', 'file', 'binding', 'index', 'pages', 'gfn'),
  own('gunyah_gmem_unbind', 'file', 'binding', 'index', 'pages'),
  // from and to: TRACE_PRIVATE or 0, as kvm_gmem_convert's; zapped: pages that the guest had
  own('gunyah_gmem_convert', 'start', 'end', 'from', 'to', 'zapped'),
] as const

/** What stands for private memory in a record, whichever hypervisor: KVM_MEMORY_ATTRIBUTE_PRIVATE. */
export const TRACE_PRIVATE = 1 << 3

/** Who asked for a conversion. */
export const Asker = { guest: 0, vmm: 1, hostPanel: 2 } as const

const numbers = new Map(traceEvents.map((event, number) => [event.name, number]))

/** The number of the event called `name`. */
export const traceEventNumber = (name: string): number => {
  const number = numbers.get(name)
  if (number === undefined) throw new Error(`no trace event is called ${name}`)
  return number
}
