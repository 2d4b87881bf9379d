// What a Linux guest is given unless a person says otherwise.

/** Kernel command line: console on the serial port, and before its driver is there, the same port polled. */
export const LINUX_COMMAND_LINE = 'console=ttyS0 earlycon'

/** RAM that Debian's kernel boots comfortably in, in MiB. */
export const LINUX_RAM_MIB = 256
