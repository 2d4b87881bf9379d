// Builds a WebAssembly module: one imported shared memory, imported and defined functions, mutable globals.

import { ByteWriter } from './bytes.ts'
import { type Callable, FunctionBuilder, type Global, type Local } from './function.ts'
import { type ValueType, valueTypes } from './opcodes.ts'

type Parameters<P extends readonly ValueType[]> = { [K in keyof P]: Local<P[K]> }

interface Definition {
  readonly type: number
  readonly exportAs: string | undefined
  readonly build: FunctionBuilder
}

/** A module under construction. Imports come first, then functions in the order of their definition. */
export class ModuleBuilder {
  readonly #pages: number
  readonly #types: string[] = []
  readonly #imports: { module: string; name: string; type: number }[] = []
  readonly #definitions: Definition[] = []
  readonly #globals: ValueType[] = []

  /** @param pages size of the imported shared memory `env.memory`, in 64 KiB pages. */
  constructor(pages: number) {
    this.#pages = pages
  }

  /** Declares an imported function; must come before all definitions. */
  import<const P extends readonly ValueType[], R extends ValueType | null>(
    module: string,
    name: string,
    parameters: P,
    result: R,
  ): Callable<P, R> {
    this.#imports.push({ module, name, type: this.#type(parameters, result) })
    return { functionIndex: this.#imports.length - 1, parameters, result }
  }

  global<T extends ValueType>(type: T): Global<T> {
    this.#globals.push(type)
    return { type, globalIndex: this.#globals.length - 1 }
  }

  /** Defines a function; `body` gets the builder and the parameters. */
  function<const P extends readonly ValueType[], R extends ValueType | null>(
    parameters: P,
    result: R,
    body: (f: FunctionBuilder, ...parameters: Parameters<P>) => void,
    exportAs?: string,
  ): Callable<P, R> {
    const build = new FunctionBuilder(parameters)
    body(build, ...(parameters.map((type, index) => ({ type, index })) as unknown as Parameters<P>))
    this.#definitions.push({ type: this.#type(parameters, result), exportAs, build })
    return { functionIndex: this.#imports.length + this.#definitions.length - 1, parameters, result }
  }

  /** The module's bytes. */
  finish(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter()
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.u8(byte)
    const finished = this.#definitions.map(({ build }) => build.finish())

    section(out, 1, (s) => {
      s.u32(this.#types.length)
      for (const type of this.#types) for (const byte of type.split(' ')) s.u8(Number(byte))
    })
    section(out, 2, (s) => {
      s.u32(this.#imports.length + 1)
      s.name('env')
      s.name('memory')
      s.u8(2)
      s.u8(3)
      s.u32(this.#pages)
      s.u32(this.#pages)
      for (const { module, name, type } of this.#imports) {
        s.name(module)
        s.name(name)
        s.u8(0)
        s.u32(type)
      }
    })
    section(out, 3, (s) => {
      s.u32(this.#definitions.length)
      for (const { type } of this.#definitions) s.u32(type)
    })
    section(out, 6, (s) => {
      s.u32(this.#globals.length)
      for (const type of this.#globals) {
        s.u8(valueTypes[type])
        s.u8(1)
        s.u8(type === 'i32' ? 0x41 : 0x42)
        s.u8(0)
        s.u8(0x0b)
      }
    })
    section(out, 7, (s) => {
      const exported = this.#definitions.flatMap(({ exportAs }, index) =>
        exportAs === undefined ? [] : [{ exportAs, index: this.#imports.length + index }],
      )
      s.u32(exported.length)
      for (const { exportAs, index } of exported) {
        s.name(exportAs)
        s.u8(0)
        s.u32(index)
      }
    })
    // Branch hinting proposal: must precede the code section; engines without it ignore the section.
    section(out, 0, (s) => {
      s.name('metadata.code.branch_hint')
      const hinted = finished.flatMap(({ hints }, index) =>
        hints.length ? [{ hints, index: this.#imports.length + index }] : [],
      )
      s.u32(hinted.length)
      for (const { hints, index } of hinted) {
        s.u32(index)
        s.u32(hints.length)
        for (const { offset, likely } of hints) {
          s.u32(offset)
          s.u32(1)
          s.u8(likely ? 1 : 0)
        }
      }
    })
    section(out, 10, (s) => {
      s.u32(finished.length)
      for (const { body } of finished) {
        s.u32(body.length)
        s.raw(body)
      }
    })
    return out.take()
  }

  /** Index of a function type, kept as its encoded bytes in text. */
  #type(parameters: readonly ValueType[], result: ValueType | null): number {
    const results = result === null ? [] : [valueTypes[result]]
    const code = [
      0x60,
      parameters.length,
      ...parameters.map((p) => valueTypes[p]),
      results.length,
      ...results,
    ]
    const text = code.join(' ')
    const known = this.#types.indexOf(text)
    return known >= 0 ? known : this.#types.push(text) - 1
  }
}

function section(out: ByteWriter, id: number, write: (s: ByteWriter) => void): void {
  const content = new ByteWriter()
  write(content)
  out.u8(id)
  out.u32(content.length)
  out.raw(content.take())
}
