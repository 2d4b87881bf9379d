// The assembler's encodings, and modules it builds, run.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteWriter } from './bytes.ts'
import { ModuleBuilder } from './module.ts'

/** Instantiates a module that imports only the memory. */
function instantiate(module: ModuleBuilder): Record<string, WebAssembly.ExportValue> {
  const memory = new WebAssembly.Memory({ shared: true, initial: 1, maximum: 1 })
  return new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { env: { memory } }).exports
}

const written = (write: (w: ByteWriter) => void): number[] => {
  const writer = new ByteWriter()
  write(writer)
  return [...writer.take()]
}

describe('byte writer', () => {
  it('writes LEB128 as the specification shows', () => {
    expect(written((w) => w.u32(624485))).toEqual([0xe5, 0x8e, 0x26])
    expect(written((w) => w.u32(0xffffffff))).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f])
    expect(written((w) => w.s32(-123456))).toEqual([0xc0, 0xbb, 0x78])
    expect(written((w) => w.s32(64))).toEqual([0xc0, 0x00])
    expect(written((w) => w.s32(-64))).toEqual([0x40])
    expect(written((w) => w.s64(-(2n ** 63n)))).toEqual([...Array(9).fill(0x80), 0x7f])
  })

  it('grows', () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i)
    expect(written((w) => w.raw(bytes))).toEqual([...bytes])
  })
})

describe('module builder', () => {
  it('keeps every 32-bit constant', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const module = new ModuleBuilder(1)
        module.function([], 'i32', (f) => f.return(f.i32.const(value)), 'f')
        expect(instantiate(module).f()).toBe(value)
      }),
    )
  })

  it('evaluates operands left to right, and finds labels from any depth', () => {
    const module = new ModuleBuilder(1)
    // 10 * (n + (n-1) + … + 1) - 1, leaving two blocks and a loop at once.
    module.function(
      ['i32'],
      'i32',
      (f, n) => {
        const sum = f.local('i32')
        f.block((done) => {
          f.loop((again) => {
            f.block(() => {
              f.brIf(done, f.i32.eqz(f.get(n)), 'unlikely')
              f.set(sum, f.i32.add(f.get(sum), f.get(n)))
              f.set(n, f.i32.sub(f.get(n), f.i32.const(1)))
              f.br(again)
            })
          })
        })
        f.return(f.i32.sub(f.i32.mul(f.i32.const(10), f.get(sum)), f.i32.const(1)))
      },
      'f',
    )
    expect(instantiate(module).f(4)).toBe(99)
  })

  it('switches by table, with a default', () => {
    const module = new ModuleBuilder(1)
    module.function(
      ['i32'],
      'i32',
      (f, n) => {
        f.block((other) => {
          f.block((one) => {
            f.block((zero) => f.brTable([zero, one], other, f.get(n)))
            f.return(f.i32.const(100))
          })
          f.return(f.i32.const(101))
        })
        f.return(f.i32.const(102))
      },
      'f',
    )
    const { f } = instantiate(module)
    expect([0, 1, 2, -1].map((n) => f(n))).toEqual([100, 101, 102, 102])
  })

  it('lists branch hints by their offset in the function body', () => {
    const module = new ModuleBuilder(1)
    module.function(
      ['i32'],
      'i32',
      (f, n) => {
        f.local('i64')
        f.if(f.get(n), () => f.return(f.i32.const(1)), undefined, 'likely')
        f.return(f.i32.const(0))
      },
      'f',
    )
    const bytes = module.finish()
    const text = String.fromCharCode(...bytes)
    const name = 'metadata.code.branch_hint'
    const at = text.indexOf(name) + name.length
    // One function (index 0), one hint: after the locals (3 bytes) and local.get (2), one byte, likely.
    expect([...bytes.slice(at, at + 6)]).toEqual([1, 0, 1, 5, 1, 1])
    expect(instantiate(module).f(7)).toBe(1)
  })
})
