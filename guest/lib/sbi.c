// SBI calls: extension in a7, function in a6, error back in a0, value in a1.
#include "sbi.h"

struct sbi_result sbi_call(u64 extension, u64 function, u64 arg0, u64 arg1, u64 arg2, u64 arg3) {
  register u64 a0 __asm__("a0") = arg0;
  register u64 a1 __asm__("a1") = arg1;
  register u64 a2 __asm__("a2") = arg2;
  register u64 a3 __asm__("a3") = arg3;
  register u64 a6 __asm__("a6") = function;
  register u64 a7 __asm__("a7") = extension;
  __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a6), "r"(a7) : "memory");
  return (struct sbi_result){(i64)a0, (i64)a1};
}

const char *sbi_error_name(i64 error) {
  static const char *const names[] = {
      "SUCCESS",           "FAILED",          "NOT_SUPPORTED", "INVALID_PARAM", "DENIED",
      "INVALID_ADDRESS",   "ALREADY_AVAILABLE", "ALREADY_STARTED", "ALREADY_STOPPED", "NO_SHMEM",
      "INVALID_STATE",     "BAD_RANGE",       "TIMEOUT",       "IO",            "DENIED_LOCKED",
  };
  return error <= 0 && -error < (i64)COUNT(names) ? names[-error] : "unknown error";
}

/** "GUNY": project-own, for the SBI specification lists no id for Gunyah. */
#define SBI_IMPL_GUNYAH 0x47554e59

const char *sbi_implementation_name(u64 id) {
  static const char *const names[] = {"BBL", "OpenSBI", "Xvisor", "KVM", "RustSBI", "Diosix", "Coffer"};
  if (id == SBI_IMPL_GUNYAH) return "Gunyah";
  return id < COUNT(names) ? names[id] : "unknown";
}

static u64 base(u64 function, u64 argument) {
  return (u64)sbi_call(SBI_BASE, function, argument, 0, 0, 0).value;
}

u64 sbi_spec_version(void) { return base(0, 0); }
u64 sbi_implementation_id(void) { return base(1, 0); }
u64 sbi_implementation_version(void) { return base(2, 0); }
bool sbi_probe(u64 extension) { return base(3, extension) != 0; }

i64 sbi_share(u64 gpa, u64 size) { return sbi_call(SBI_COVG, 2, gpa, size, 0, 0).error; }
i64 sbi_unshare(u64 gpa, u64 size) { return sbi_call(SBI_COVG, 3, gpa, size, 0, 0).error; }

i64 sbi_hart_start(u64 hart, u64 address, u64 opaque) {
  return sbi_call(SBI_HSM, 0, hart, address, opaque, 0).error;
}
void sbi_hart_stop(void) { sbi_call(SBI_HSM, 1, 0, 0, 0, 0); }
i64 sbi_hart_status(u64 hart) {
  struct sbi_result result = sbi_call(SBI_HSM, 2, hart, 0, 0, 0);
  return result.error ? result.error : result.value;
}

i64 sbi_remote_fence_i(u64 mask) { return sbi_call(SBI_RFENCE, 0, mask, 0, 0, 0).error; }
i64 sbi_remote_sfence_vma(u64 mask, u64 start, u64 size) {
  return sbi_call(SBI_RFENCE, 1, mask, 0, start, size).error;
}

i64 sbi_reset(u64 type, u64 reason) { return sbi_call(SBI_SRST, 0, type, reason, 0, 0).error; }
