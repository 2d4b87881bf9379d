// A hexdump as text: offset, bytes, characters.

const PER_ROW = 8

/** One line per 8 bytes: `0x040  01 02 …  ab…`. */
export const hexdump = (bytes: Uint8Array): string => {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += PER_ROW) {
    const row = bytes.subarray(at, at + PER_ROW)
    const codes = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·',
    ).join('')
    lines.push(`${at.toString(16).padStart(3, '0')}  ${codes.padEnd(PER_ROW * 3 - 1)}  ${text}`)
  }
  return lines.join('\n')
}
