// Calls to the hypervisor: RISC-V SBI 2.0, and the CoVE-guest extension of the AP-TEE specification.
#pragma once
#include "types.h"

#define SBI_BASE 0x10
#define SBI_RFENCE 0x52464e43
#define SBI_HSM 0x48534d
#define SBI_SRST 0x53525354
#define SBI_COVG 0x434f5647

#define SRST_SHUTDOWN 0
#define SRST_COLD_REBOOT 1
#define SRST_REASON_NONE 0
#define SRST_REASON_FAILURE 1

#define HSM_STOPPED 1

struct sbi_result {
  i64 error;
  i64 value;
};

struct sbi_result sbi_call(u64 extension, u64 function, u64 a0, u64 a1, u64 a2, u64 a3);

/** "SUCCESS", "DENIED" and so on. */
const char *sbi_error_name(i64 error);

/** Implementation's name by its id, e.g. "KVM". */
const char *sbi_implementation_name(u64 id);

u64 sbi_spec_version(void);
u64 sbi_implementation_id(void);
u64 sbi_implementation_version(void);
bool sbi_probe(u64 extension);

/** Declares `size` bytes from `gpa` shared with the host, or private again; both page aligned. */
i64 sbi_share(u64 gpa, u64 size);
i64 sbi_unshare(u64 gpa, u64 size);

i64 sbi_hart_start(u64 hart, u64 address, u64 opaque);
i64 sbi_hart_status(u64 hart);
/** Does not return, unless the hypervisor has no HSM extension. */
void sbi_hart_stop(void);

/** Both act on the harts of `mask` (bit 0 = hart 0) and return when each has done it. */
i64 sbi_remote_fence_i(u64 mask);
i64 sbi_remote_sfence_vma(u64 mask, u64 start, u64 size);

/** Returns only when the hypervisor refuses. */
i64 sbi_reset(u64 type, u64 reason);
