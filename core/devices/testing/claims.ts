// Where the PLIC thread test keeps its claim counts, in 32-bit words: after the device's own.
export const CLAIMS_WORD = 1024
