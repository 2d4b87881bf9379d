// One vCPU's engine: the interpreter module instantiated over the shared memory, bound to a vCPU block.

import type { Hpa } from '../base/units.ts'
import { decodeTable, expandTable } from './decode-table.ts'
import { floatUnit } from './float-unit.ts'
import { buildInterpreter } from './interpreter.ts'
import { Vcpu } from './vcpu-block.ts'

const WASM_PAGE = 65536

/** Modules by memory size: memories of one size share their code. */
const modules = new Map<number, WebAssembly.Module>()

function interpreterModule(pages: number): WebAssembly.Module {
  const known = modules.get(pages)
  if (known) return known
  const module = new WebAssembly.Module(buildInterpreter(pages))
  modules.set(pages, module)
  return module
}

/** Runs guest code for one vCPU. Use from one thread at a time. */
export class Engine {
  readonly #base: number
  readonly #run: (base: number) => number
  readonly #flush: (base: number) => number
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array

  /**
   * Prepares the block's decode tables and empties its TLB; registers and CSRs are left as they are.
   * @param blockHpa host address of the vCPU block, 64 KiB aligned.
   * @param now clock in ticks of TIMEBASE_HZ, before the block's TIME_DELTA is added; never decreasing.
   */
  constructor(memory: WebAssembly.Memory, blockHpa: Hpa, now: () => number) {
    const instance = new WebAssembly.Instance(interpreterModule(memory.buffer.byteLength / WASM_PAGE), {
      env: { memory, now, float: floatUnit(memory) },
    })
    this.#base = blockHpa
    this.#run = instance.exports.run
    this.#flush = instance.exports.flush_tlb
    this.#bytes = new Uint8Array(memory.buffer)
    this.#words = new Uint32Array(memory.buffer)
    this.reset()
  }

  /** Prepares the block again after it was cleared. Only while `run` is not running. */
  reset(): void {
    this.#bytes.set(decodeTable, this.#base + Vcpu.DECODE)
    this.#words.set(expandTable, (this.#base + Vcpu.EXPAND) / 4)
    this.flushTlb()
  }

  /** Runs the guest until it needs the hypervisor. Returns a value of Exit; the block's EXIT_ fields say more. */
  run(): number {
    return this.#run(this.#base)
  }

  /** Forgets all translations. Only while `run` is not running. */
  flushTlb(): void {
    this.#flush(this.#base)
  }
}
