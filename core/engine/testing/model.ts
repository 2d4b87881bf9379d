// An independent model of RV64IMA in BigInt, written from the specification's text and sharing nothing with the ISA
// table: it takes fields out of words itself and knows instructions by opcode.

const u = (value: bigint): bigint => BigInt.asUintN(64, value)
const s = (value: bigint): bigint => BigInt.asIntN(64, value)
const w = (value: bigint): bigint => u(BigInt.asIntN(32, value))

/** Quotient and remainder with RISC-V's results for zero and overflow; operands in their signedness. */
const divide = (a: bigint, b: bigint): readonly [bigint, bigint] => (b === 0n ? [-1n, a] : [a / b, a % b])

export class Model {
  readonly x: bigint[] = Array.from({ length: 32 }, () => 0n)
  readonly memory = new Map<bigint, number>()
  pc: bigint
  retired = 0
  #reserved: { address: bigint; value: bigint } | undefined

  constructor(words: Uint32Array, pc: number) {
    this.pc = BigInt(pc)
    words.forEach((word, index) => {
      this.#write(BigInt(pc + index * 4), BigInt(word), 4)
    })
  }

  /** Runs to the first ecall. */
  run(): void {
    for (;;) {
      const word = Number(this.read(this.pc, 4))
      if (word === 0x73) return
      this.#step(word)
      this.x[0] = 0n
      this.retired++
    }
  }

  read(address: bigint, bytes: number): bigint {
    let value = 0n
    for (let i = bytes - 1; i >= 0; i--)
      value = (value << 8n) | BigInt(this.memory.get(u(address + BigInt(i))) ?? 0)
    return value
  }

  #write(address: bigint, value: bigint, bytes: number): void {
    for (let i = 0; i < bytes; i++)
      this.memory.set(u(address + BigInt(i)), Number((value >> BigInt(8 * i)) & 0xffn))
  }

  #step(word: number): void {
    const x = this.x
    const opcode = word & 127
    const rd = (word >> 7) & 31
    const f3 = (word >> 12) & 7
    const f7 = word >>> 25
    const a = x[(word >> 15) & 31]
    const b = x[(word >> 20) & 31]
    const i = BigInt(word >> 20)
    let next = this.pc + 4n
    switch (opcode) {
      case 0x37:
        x[rd] = u(BigInt(word & ~0xfff))
        break
      case 0x17:
        x[rd] = u(this.pc + BigInt(word & ~0xfff))
        break
      case 0x6f: {
        const low = ((word >> 20) & 0x7fe) | ((word >> 9) & 0x800) | (word & 0xff000)
        next = u(this.pc + BigInt((word < 0 || word >= 2 ** 31 ? -(2 ** 20) : 0) + low))
        x[rd] = u(this.pc + 4n)
        break
      }
      case 0x67:
        next = u(a + i) & ~1n
        x[rd] = u(this.pc + 4n)
        break
      case 0x63: {
        const offset =
          ((word >> 7) & 0x1e) | ((word >> 20) & 0x7e0) | ((word << 4) & 0x800) | (word >>> 31 ? -4096 : 0)
        const holds = [a === b, a !== b, false, false, s(a) < s(b), s(a) >= s(b), a < b, a >= b][f3]
        if (holds) next = u(this.pc + BigInt(offset))
        break
      }
      case 0x03: {
        const bytes = 1 << (f3 & 3)
        const value = this.read(u(a + i), bytes)
        x[rd] = f3 & 4 ? value : u(BigInt.asIntN(bytes * 8, value))
        break
      }
      case 0x23:
        this.#write(u(a + BigInt(((word >> 20) & ~31) | rd)), b, 1 << f3)
        break
      case 0x13:
        x[rd] = this.#alu(f3, f3 === 5 && f7 & 32 ? 32 : 0, a, f3 === 1 || f3 === 5 ? i & 63n : u(i))
        break
      case 0x1b:
        x[rd] = this.#aluWord(f3, f3 === 5 ? f7 : 0, a, f3 ? i & 31n : u(i))
        break
      case 0x33:
        x[rd] = f7 === 1 ? this.#multiply(f3, a, b) : this.#alu(f3, f7, a, b)
        break
      case 0x3b:
        x[rd] = f7 === 1 ? this.#multiplyWord(f3, a, b) : this.#aluWord(f3, f7, a, b)
        break
      case 0x2f:
        x[rd] = this.#atomic(f7 >> 2, f3 === 3 ? 8 : 4, a, b)
        break
      default:
        throw new Error(`the model has no instruction ${word.toString(16)}`)
    }
    this.pc = next
  }

  #alu(f3: number, f7: number, a: bigint, b: bigint): bigint {
    if (f3 === 0) return u(f7 ? a - b : a + b)
    if (f3 === 1) return u(a << (b & 63n))
    if (f3 === 2) return s(a) < s(b) ? 1n : 0n
    if (f3 === 3) return a < b ? 1n : 0n
    if (f3 === 4) return a ^ b
    if (f3 === 5) return f7 ? u(s(a) >> (b & 63n)) : a >> (b & 63n)
    return f3 === 6 ? a | b : a & b
  }

  #aluWord(f3: number, f7: number, a: bigint, b: bigint): bigint {
    if (f3 === 0) return w(f7 ? a - b : a + b)
    if (f3 === 1) return w(a << (b & 31n))
    return f7 ? w(BigInt.asIntN(32, a) >> (b & 31n)) : w(BigInt.asUintN(32, a) >> (b & 31n))
  }

  #multiply(f3: number, a: bigint, b: bigint): bigint {
    if (f3 < 4) return u([a * b, (s(a) * s(b)) >> 64n, (s(a) * b) >> 64n, (a * b) >> 64n][f3])
    const [quotient, remainder] = f3 & 1 ? divide(a, b) : divide(s(a), s(b))
    return u(f3 < 6 ? quotient : remainder)
  }

  #multiplyWord(f3: number, a: bigint, b: bigint): bigint {
    if (f3 === 0) return w(a * b)
    const as = f3 & 1 ? BigInt.asUintN : BigInt.asIntN
    const [quotient, remainder] = divide(as(32, a), as(32, b))
    return w(f3 < 6 ? quotient : remainder)
  }

  #atomic(f5: number, bytes: 4 | 8, address: bigint, b: bigint): bigint {
    const old = this.read(address, bytes)
    const extend = (value: bigint): bigint => u(BigInt.asIntN(bytes * 8, value))
    if (f5 === 2) {
      this.#reserved = { address, value: old }
      return extend(old)
    }
    if (f5 === 3) {
      // An sc after an lr of the other width is never generated, so comparing the value is enough.
      const held = this.#reserved?.address === address && this.#reserved.value === old
      this.#reserved = undefined
      if (held) this.#write(address, b, bytes)
      return held ? 0n : 1n
    }
    const [l, r] = f5 & 8 ? [old, BigInt.asUintN(bytes * 8, b)] : [s(extend(old)), s(extend(b))]
    const result = new Map([
      [0, old + b],
      [1, b],
      [4, old ^ b],
      [8, old | b],
      [12, old & b],
      [16, l < r ? l : r],
      [20, l > r ? l : r],
      [24, l < r ? l : r],
      [28, l > r ? l : r],
    ]).get(f5)
    if (result === undefined) throw new Error(`the model has no atomic operation ${f5}`)
    this.#write(address, u(result), bytes)
    return extend(old)
  }
}
