// A minimal static RISC-V ELF file: one segment, readable, writable and executable.

/** The file's bytes: `words` at address `code`, memory reserved up to `end`. */
export function elf(words: Uint32Array<ArrayBuffer>, code: number, end: number): Uint8Array {
  const HEADERS = 0x1000
  const file = new Uint8Array(HEADERS + words.byteLength)
  const view = new DataView(file.buffer)
  const u64 = (offset: number, value: number): void => view.setBigUint64(offset, BigInt(value), true)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true) // ET_EXEC
  view.setUint16(18, 243, true) // EM_RISCV
  view.setUint32(20, 1, true)
  u64(24, code)
  u64(32, 64)
  view.setUint16(52, 64, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  view.setUint32(64, 1, true) // PT_LOAD
  view.setUint32(68, 7, true)
  u64(72, HEADERS)
  u64(80, code)
  u64(88, code)
  u64(96, words.byteLength)
  u64(104, end - code)
  u64(112, 0x1000)
  file.set(new Uint8Array(words.buffer), HEADERS)
  return file
}
