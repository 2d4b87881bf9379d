// The commands. Each gets its words without the program's name and returns the exit status.
#pragma once
#include "../lib/types.h"

#define OK 0
#define FAILED 1
#define USAGE 2

int command_status(u32 count, char **words);
int command_alloc(u32 count, char **words);
int command_free(u32 count, char **words);
int command_share(u32 count, char **words);
int command_unshare(u32 count, char **words);
int command_read(u32 count, char **words);
int command_write(u32 count, char **words);
int command_watch(u32 count, char **words);
int command_measure(u32 count, char **words);
