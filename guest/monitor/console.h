// The keyboard: interrupt-driven input behind the serial port and the interrupt controller.
#pragma once
#include "../lib/types.h"

/** Takes the serial port's interrupt on this hart. */
void console_init(void);

/** From the trap handler: an external interrupt came. */
void console_interrupt(void);

/** The next key; sleeps in WFI until there is one. */
u8 console_get(void);

/** While a command runs, ctrl-C is not a key but stops it, and keys typed ahead are dropped. */
void console_running(bool running);

/** True once after such a ctrl-C: long commands ask this. */
bool console_interrupted(void);
