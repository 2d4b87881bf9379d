// Line editing for a terminal that understands backspace and ECMA-48 keys.
#include "line.h"

#include "../lib/print.h"
#include "../lib/string.h"
#include "console.h"
#include "shell.h"

#define HISTORY 16
#define CTRL(letter) ((letter) & 31)
#define ESCAPE 27

enum key { KEY_UP = 256, KEY_DOWN, KEY_RIGHT, KEY_LEFT, KEY_HOME, KEY_END, KEY_DELETE, KEY_NONE };

static char history[HISTORY][LINE_MAX];
static u32 lines; // ever entered

static char *text;
static u32 length, cursor;

/** Reads a key; the terminal's escape sequences become one value. */
static u32 get_key(void) {
  u8 byte = console_get();
  if (byte != ESCAPE) return byte;
  byte = console_get();
  if (byte != '[' && byte != 'O') return KEY_NONE;
  u32 parameter = 0;
  while ((byte = console_get()) >= '0' && byte <= '9') parameter = parameter * 10 + byte - '0';
  switch (byte) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': return KEY_RIGHT;
    case 'D': return KEY_LEFT;
    case 'H': return KEY_HOME;
    case 'F': return KEY_END;
    case '~': return parameter == 3 ? KEY_DELETE : parameter == 1 ? KEY_HOME : parameter == 4 ? KEY_END : KEY_NONE;
    default: return KEY_NONE;
  }
}

static void back(u32 count) {
  while (count--) put_char('\b');
}

/** Moves the cursor, on the screen too. */
static void move(u32 to) {
  if (to < cursor) back(cursor - to);
  for (u32 i = cursor; i < to; i++) put_char(text[i]);
  cursor = to;
}

/** Shows what stands from the cursor on, blanks `erased` columns after it, and returns to the cursor. */
static void redraw(u32 erased) {
  for (u32 i = cursor; i < length; i++) put_char(text[i]);
  for (u32 i = 0; i < erased; i++) put_char(' ');
  back(length - cursor + erased);
}

static void insert(char c) {
  if (length + 1 >= LINE_MAX) {
    put_char('\a');
    return;
  }
  memmove(text + cursor + 1, text + cursor, length - cursor);
  text[cursor] = c;
  length++;
  put_char(c);
  cursor++;
  redraw(0);
}

/** Removes `count` characters before the cursor. */
static void erase(u32 count) {
  back(count);
  cursor -= count;
  memmove(text + cursor, text + cursor + count, length - cursor - count);
  length -= count;
  redraw(count);
}

static void replace(const char *with) {
  move(length);
  erase(length);
  while (*with) insert(*with++);
}

static u32 word_before_cursor(void) {
  u32 at = cursor;
  while (at > 0 && text[at - 1] == ' ') at--;
  while (at > 0 && text[at - 1] != ' ') at--;
  return cursor - at;
}

/** Completes the first word: the whole name when only one fits, else lists what fits. */
static void complete(const char *prompt) {
  char prefix[LINE_MAX];
  for (u32 i = 0; i < cursor; i++)
    if (text[i] == ' ') return;
  memcpy(prefix, text, cursor);
  prefix[cursor] = 0;
  const char *only = NULL;
  u32 fitting = 0;
  for (u32 i = 0; i < shell_command_count; i++)
    if (starts_with(shell_commands[i].name, prefix)) only = shell_commands[i].name, fitting++;
  if (fitting == 1) {
    for (only += cursor; *only; only++) insert(*only);
    insert(' ');
  } else if (fitting > 1) {
    put_char('\n');
    for (u32 i = 0; i < shell_command_count; i++)
      if (starts_with(shell_commands[i].name, prefix)) print("%s  ", shell_commands[i].name);
    print("\n%s", prompt);
    u32 at = cursor;
    cursor = 0;
    move(at);
    redraw(0);
  }
}

static void remember(void) {
  if (length == 0 || (lines && !strcmp(history[(lines - 1) % HISTORY], text))) return;
  memcpy(history[lines++ % HISTORY], text, length + 1);
}

bool line_read(const char *prompt, char *line) {
  text = line;
  length = cursor = 0;
  u32 shown = lines; // the history line on the screen; `lines` is the one being written
  put(prompt);
  for (;;) {
    u32 key = get_key();
    switch (key) {
      case '\r':
      case '\n':
        move(length);
        put_char('\n');
        text[length] = 0;
        remember();
        return true;
      case CTRL('C'):
        put("^C\n");
        return false;
      case '\b':
      case 127:
        if (cursor) erase(1);
        break;
      case CTRL('D'):
      case KEY_DELETE:
        if (cursor < length) {
          move(cursor + 1);
          erase(1);
        }
        break;
      case CTRL('U'):
        erase(cursor);
        break;
      case CTRL('K'): {
        u32 erased = length - cursor;
        length = cursor;
        redraw(erased);
        break;
      }
      case CTRL('W'):
        erase(word_before_cursor());
        break;
      case CTRL('L'): {
        print("\033[H\033[2J%s", prompt);
        u32 at = cursor;
        cursor = 0;
        move(at);
        redraw(0);
        break;
      }
      case CTRL('B'):
      case KEY_LEFT:
        if (cursor) move(cursor - 1);
        break;
      case CTRL('F'):
      case KEY_RIGHT:
        if (cursor < length) move(cursor + 1);
        break;
      case CTRL('A'):
      case KEY_HOME:
        move(0);
        break;
      case CTRL('E'):
      case KEY_END:
        move(length);
        break;
      case CTRL('P'):
      case KEY_UP:
        if (shown > 0 && lines - shown < HISTORY) replace(history[--shown % HISTORY]);
        break;
      case CTRL('N'):
      case KEY_DOWN:
        if (shown < lines) replace(++shown == lines ? "" : history[shown % HISTORY]);
        break;
      case '\t':
        complete(prompt);
        break;
      default:
        if (key >= 32 && key < 127) insert((char)key);
    }
  }
}
