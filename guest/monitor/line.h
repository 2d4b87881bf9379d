// The line editor.
#pragma once
#include "../lib/types.h"

#define LINE_MAX 128

/**
 * Reads one line into `line` (LINE_MAX bytes) after `prompt`. False when ctrl-C gave it up.
 * Keys: left, right, home, end (ctrl-A, ctrl-E), backspace, delete, ctrl-U, ctrl-K, ctrl-W, ctrl-L,
 * up and down through earlier lines, tab to complete a command's name.
 */
bool line_read(const char *prompt, char *line);
