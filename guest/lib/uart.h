// The serial port, an ns16550a: polled output, and what interrupt-driven input needs.
#pragma once
#include "types.h"

/** Sets the port up at its address: 8N1, FIFOs on, no interrupts. */
void uart_init(u64 base);
void uart_put(u8 byte);
/** Next received byte, or -1. */
i32 uart_get(void);
void uart_enable_receive_interrupt(void);
