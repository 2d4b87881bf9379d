// The command table and what commands need to read their arguments.
#pragma once
#include "../lib/number.h"
#include "../lib/types.h"

#define MAX_WORDS 40

struct command {
  const char *name;
  const char *arguments; // as shown by help
  const char *help;
  void (*run)(u32 count, char **words); // words[0] is the name
};

extern const struct command shell_commands[];
extern const u32 shell_command_count;

/** Prompt, read, run, for ever. */
void shell_run(void) __attribute__((noreturn));

/** Reads a guest physical address: a number, or +N = page N of the scratch area. Complains itself. */
bool parse_address(const char *word, u64 *value);
/** Reads GPA and PAGES into a page-aligned range; complains itself. */
bool parse_pages(u32 count, char **words, u64 *gpa, u64 *pages);

/** Microseconds, or nanoseconds, in a span of `time` ticks. */
u64 microseconds(u64 ticks);
u64 nanoseconds(u64 ticks);

void command_help(u32 count, char **words);
void command_mem(u32 count, char **words);
void command_peek(u32 count, char **words);
void command_poke(u32 count, char **words);
void command_touch(u32 count, char **words);
void command_share(u32 count, char **words);
void command_unshare(u32 count, char **words);
void command_doorbell(u32 count, char **words);
void command_keep(u32 count, char **words);
void command_fault(u32 count, char **words);
void command_bench(u32 count, char **words);
void command_smp(u32 count, char **words);
void command_spin(u32 count, char **words);
void command_flood(u32 count, char **words);
void command_poweroff(u32 count, char **words);
void command_reboot(u32 count, char **words);
void command_fail(u32 count, char **words);
