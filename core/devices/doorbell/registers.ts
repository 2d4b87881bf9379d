// The doorbell's register map (project-own device, compatible "gmemscope,doorbell"): one page of MMIO without an
// interrupt, that no driver claims.
//
//   offset  width  access
//   0x00    32     read        MAGIC    0x6d656d67, "gmem" in memory
//   0x04    32     read        VERSION  1
//   0x10    64     read/write  GPA      guest physical address of the first page
//   0x18    64     read/write  SIZE     bytes, a multiple of 4096
//   0x20    64     read        SHARE    asks to share [GPA, GPA + SIZE) with the host; the value is the SBI error
//   0x28    64     read        UNSHARE  asks to make it private again
//
// A load of SHARE or UNSHARE returns when the request is done: 0 SUCCESS, else a negative SBI error code, the same that
// COVG gives. GPA and SIZE are banked: each hart has its own, so a program stays on one hart from its first store to
// the load. Loads of another width or offset read as ones, such stores do nothing.

import { DoorbellCall } from '../../kvm/doorbell.ts'

export const DOORBELL_COMPATIBLE = 'gmemscope,doorbell'

/** Byte offsets in the page. */
export const DoorbellReg = { MAGIC: 0x00, VERSION: 0x04, ...DoorbellCall } as const

export const DOORBELL_MAGIC = 0x6d656d67
export const DOORBELL_VERSION = 1
