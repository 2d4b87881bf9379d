// The goldfish real-time clock's registers, 32 bits each.
//
// Source: Android emulator, docs/GOLDFISH-VIRTUAL-HARDWARE.TXT; names as in Linux's include/clocksource/timer-goldfish.h.

export const RtcReg = {
  /** Nanoseconds since 1970, low half; reading it holds the high half for TIME_HIGH. */
  TIME_LOW: 0x00,
  TIME_HIGH: 0x04,
  /** Writing it sets the alarm, with the high half written before. */
  ALARM_LOW: 0x08,
  ALARM_HIGH: 0x0c,
  IRQ_ENABLED: 0x10,
  CLEAR_ALARM: 0x14,
  /** 1: an alarm is set. */
  ALARM_STATUS: 0x18,
  CLEAR_INTERRUPT: 0x1c,
} as const
