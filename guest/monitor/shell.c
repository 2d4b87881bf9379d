// The command table, argument parsing, and the loop around them.
#include "shell.h"

#include "../lib/csr.h"
#include "../lib/machine.h"
#include "../lib/print.h"
#include "../lib/string.h"
#include "console.h"
#include "cpu.h"
#include "line.h"
#include "memory.h"
#include "paging.h"

const struct command shell_commands[] = {
    {"help", "", "this list", command_help},
    {"mem", "", "memory map, and what is private or shared", command_mem},
    {"peek", "GPA [LEN]", "show bytes", command_peek},
    {"poke", "GPA BYTE...|\"text\"", "write bytes", command_poke},
    {"touch", "GPA PAGES", "write one word to each page", command_touch},
    {"share", "GPA PAGES", "ask for pages to be shared with the host", command_share},
    {"unshare", "GPA PAGES", "ask for pages to be private again", command_unshare},
    {"doorbell", "share|unshare GPA N", "the same two by the doorbell's registers", command_doorbell},
    {"keep", "GPA", "convert a page and back, and see if its bytes are kept", command_keep},
    {"fault", "GPA", "read one byte and tell what happened", command_fault},
    {"bench", "", "speed of the processor, memory and hypervisor", command_bench},
    {"smp", "", "run all harts on shared counters", command_smp},
    {"spin", "[SECONDS]", "keep the processor busy (ctrl-C stops)", command_spin},
    {"flood", "[KIB]", "print numbered lines and a checksum", command_flood},
    {"poweroff", "", "shut the machine down", command_poweroff},
    {"reboot", "", "start it again", command_reboot},
    {"fail", "", "shut down, reporting a failure", command_fail},
};
const u32 shell_command_count = COUNT(shell_commands);

void command_help(u32 count, char **words) {
  (void)count, (void)words;
  for (u32 i = 0; i < shell_command_count; i++) {
    const struct command *command = &shell_commands[i];
    print("  %-8s %-20s %s\n", command->name, command->arguments, command->help);
  }
  print("GPA is a number, or +N for page N of the scratch area at 0x%lx.\n", memory_scratch());
}

bool parse_address(const char *word, u64 *value) {
  bool scratch = *word == '+';
  if (!parse_number(word + scratch, value) || *value >= PAGING_LIMIT / (scratch ? PAGE_SIZE : 1)) {
    print("%s: not a guest physical address below 0x%lx\n", word, PAGING_LIMIT);
    return false;
  }
  if (scratch) *value = memory_scratch() + *value * PAGE_SIZE;
  return true;
}

bool parse_pages(u32 count, char **words, u64 *gpa, u64 *pages) {
  if (count != 3) {
    print("usage: %s GPA PAGES\n", words[0]);
    return false;
  }
  if (!parse_address(words[1], gpa)) return false;
  if (!parse_number(words[2], pages) || *pages == 0 || *pages > (PAGING_LIMIT - *gpa) / PAGE_SIZE) {
    print("%s: not a number of pages\n", words[2]);
    return false;
  }
  return true;
}

u64 microseconds(u64 ticks) { return ticks * 1000000 / machine.timebase; }
u64 nanoseconds(u64 ticks) { return ticks * 1000000000 / machine.timebase; }

/** Splits at spaces, in place; a quoted text is one word that keeps its opening quote. */
static u32 split(char *line, char **words) {
  u32 count = 0;
  for (;;) {
    while (*line == ' ') line++;
    if (!*line || count == MAX_WORDS) return count;
    words[count++] = line;
    char end = *line == '"' ? '"' : ' ';
    if (end == '"') line++;
    while (*line && *line != end) line++;
    if (*line) *line++ = 0;
  }
}

static void run(char *line) {
  char *words[MAX_WORDS];
  u32 count = split(line, words);
  if (count == 0) return;
  for (u32 i = 0; i < shell_command_count; i++)
    if (!strcmp(shell_commands[i].name, words[0])) {
      shell_commands[i].run(count, words);
      return;
    }
  print("%s: no such command (try help)\n", words[0]);
}

void shell_run(void) {
  static char line[LINE_MAX];
  static struct guard guard;
  struct cpu *cpu = this_cpu();
  for (;;) {
    if (guard_set(&guard)) {
      // An exception ended the command; its trap left interrupts off.
      trap_print();
      csr_set(sstatus, SSTATUS_SIE);
    }
    cpu->guard = &guard;
    console_running(false);
    if (!line_read("gmem> ", line)) continue;
    console_running(true);
    run(line);
  }
}
