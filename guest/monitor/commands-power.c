// poweroff, reboot, fail: the system reset extension.
#include "../lib/print.h"
#include "../lib/sbi.h"
#include "shell.h"

static void reset(u64 type, u64 reason) {
  i64 error = sbi_reset(type, reason);
  print("refused: %s (%ld)\n", sbi_error_name(error), error);
}

void command_poweroff(u32 count, char **words) {
  (void)count, (void)words;
  put("powering off\n");
  reset(SRST_SHUTDOWN, SRST_REASON_NONE);
}

void command_reboot(u32 count, char **words) {
  (void)count, (void)words;
  put("rebooting\n");
  reset(SRST_COLD_REBOOT, SRST_REASON_NONE);
}

void command_fail(u32 count, char **words) {
  (void)count, (void)words;
  put("reporting failure\n");
  reset(SRST_SHUTDOWN, SRST_REASON_FAILURE);
}
