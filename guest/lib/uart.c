// NS16550A access, one byte wide, registers one byte apart.
#include "uart.h"

#include "print.h"

#define THR 0
#define RHR 0
#define IER 1
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define LSR_DR 0x01
#define LSR_THRE 0x20
#define FIFO 16

static volatile u8 *port;

// Bytes the transmit FIFO still takes since it was last seen empty: one status read serves sixteen bytes.
static u32 room;

void uart_init(u64 base) {
  port = (volatile u8 *)base;
  port[IER] = 0;
  port[LCR] = 0x03;
  port[FCR] = 0x01;
  port[MCR] = 0x03;
}

void uart_put(u8 byte) {
  if (room == 0) {
    while (!(port[LSR] & LSR_THRE)) {
    }
    room = FIFO;
  }
  room--;
  port[THR] = byte;
}

/** Text's way to the port: a line feed becomes carriage return and line feed. */
void put_char(char c) {
  if (c == '\n') uart_put('\r');
  uart_put((u8)c);
}

i32 uart_get(void) { return port[LSR] & LSR_DR ? port[RHR] : -1; }

void uart_enable_receive_interrupt(void) { port[IER] = 0x01; }
