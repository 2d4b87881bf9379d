// The few platform types core/ may use although it compiles without the DOM library:
// WebAssembly (present in every host: page, worker, Node) and the monotonic clock.

declare namespace WebAssembly {
  interface MemoryDescriptor {
    initial: number
    maximum: number
    shared: true
  }
  class Memory {
    constructor(descriptor: MemoryDescriptor)
    readonly buffer: SharedArrayBuffer
  }
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>)
  }
  type ExportValue = (...args: number[]) => number
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, ExportValue>
  }
}
