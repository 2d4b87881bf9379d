// A binding: a range of a guest memory file at a range of a VM's guest physical addresses (gunyah_gmem_binding, v17).

import type { GmemFile } from '../gmem/file.ts'
import type { SlotRow } from '../host/tables.ts'
import { MemFlag } from './uapi.ts'
import type { GunyahVm } from './vm.ts'

export class Binding implements SlotRow {
  readonly vm: GunyahVm
  /** Holds a reference to the file. */
  readonly gmem: GmemFile<Binding>
  /** MemFlag bits, as given. */
  readonly flags: number
  /** Number of the binding in the VM, for people. */
  readonly id: number
  baseGfn: number
  fileIndex: number
  pages: number

  constructor(
    vm: GunyahVm,
    gmem: GmemFile<Binding>,
    id: number,
    range: { readonly gfn: number; readonly index: number; readonly pages: number; readonly flags: number },
  ) {
    this.vm = vm
    this.gmem = gmem
    this.id = id
    this.flags = range.flags
    this.baseGfn = range.gfn
    this.fileIndex = range.index
    this.pages = range.pages
  }

  get endGfn(): number {
    return this.baseGfn + this.pages
  }

  /** Row of the file in the shared tables. */
  get file(): number {
    return this.gmem.inode.row
  }

  /** No host mapping belongs to a binding. */
  get userspaceAddr(): number {
    return 0
  }

  get writable(): boolean {
    return (this.flags & MemFlag.WRITE) !== 0
  }

  /** gunyah_guest_mem_is_lend: by default too, for every VM here is protected. */
  get lend(): boolean {
    return (this.flags & MemFlag.ACCESS_MASK) !== MemFlag.FORCE_SHARE
  }

  /** The transfer is the default one, so that the guest may have it changed. */
  get convertible(): boolean {
    return (this.flags & MemFlag.ACCESS_MASK) === 0
  }

  fileIndexOf(gfn: number): number {
    return this.fileIndex + (gfn - this.baseGfn)
  }

  gfnOf(index: number): number {
    return this.baseGfn + (index - this.fileIndex)
  }
}
