// gmem: shares pages of a Linux guest with its host from a shell, by gmemscope's doorbell.
#include "../lib/print.h"
#include "../lib/string.h"
#include "commands.h"

static const struct {
  const char *name;
  const char *arguments;
  const char *help;
  int (*run)(u32 count, char **words);
} commands[] = {
    {"alloc", "PAGES", "take pages from Linux: the pool, which may be shared", command_alloc},
    {"status", "", "the doorbell, the pool, and what of it is shared", command_status},
    {"share", "+N|GPA [PAGES]", "ask for pages to be shared with the host", command_share},
    {"unshare", "+N|GPA [PAGES]", "ask for pages to be private again", command_unshare},
    {"read", "+N|GPA [BYTES]", "show bytes", command_read},
    {"write", "+N|GPA TEXT", "write a text", command_write},
    {"watch", "+N|GPA [SECONDS]", "show bytes whenever they change (ctrl-C stops)", command_watch},
    {"measure", "[ROUNDS]", "how long an exit, a conversion and a touch take", command_measure},
    {"free", "", "unshare the pool and give it back", command_free},
};

/** Called by start.S; the result is the program's exit status. */
int gmem_main(int count, char **words) {
  for (u32 i = 0; count > 1 && i < COUNT(commands); i++)
    if (!strcmp(commands[i].name, words[1])) return commands[i].run((u32)count - 1, words + 1);
  put("usage: gmem COMMAND\n");
  for (u32 i = 0; i < COUNT(commands); i++)
    print("  %-8s %-18s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
  put("+N is page N of the pool, GPA a guest physical address in it. Contents may change with a conversion.\n");
  return USAGE;
}
