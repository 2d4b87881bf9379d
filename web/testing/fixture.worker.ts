// Development only: a stand-in for the hypervisor worker that fills the shared tables with plausible rows.
import * as Comlink from 'comlink'
import { pfn } from '../../core/base/units.ts'
import { ByteRing } from '../../core/devices/byte-ring.ts'
import { UART_WORDS } from '../../core/devices/platform-devices.ts'
import { TX_CAPACITY, UartLayout } from '../../core/devices/uart16550/registers.ts'
import type { MachineApi } from '../../core/machine/api.ts'
import {
  FolioTable,
  Header,
  MachineTables,
  MachineView,
  PageType,
  PG,
  VmFloat,
} from '../../core/machine/view.ts'
import { traceEventNumber } from '../../core/trace/events.ts'

let view: MachineView
let words: Int32Array
let tables: MachineTables
let folios: FolioTable
let ring: ByteRing
let ram = 0
let file = 0
let nextPfn = 0
let running = false
let t0 = 0
const BASE = 0x80000
const UA = 0x7f1234000000
const gmem = new Map<number, number>()
const anon = new Map<number, number>()
const bump = () => Atomics.add(words, Header.GENERATION, 1)
const trace = (name: string, ...f: number[]) =>
  view.traces[0].write(traceEventNumber(name), 0, (performance.now() - t0) * 1000, ...f)
const say = (s: string) => ring.pushAll(new TextEncoder().encode(s))
const give = (type: number, owner: number, index: number) => {
  const p = pfn(nextPfn++)
  folios.assign(p, type, owner, index)
  folios.set(p, PG.uptodate)
  folios.refcount[p] = 2
  folios.guestMapcount[p] = 1
  if (type === PageType.anon) folios.mapcount[p] = 1
  return p
}
const touch = (page: number, shared: boolean) => {
  if (shared) {
    if (!anon.has(page)) anon.set(page, give(PageType.anon, 1, UA / 4096 + page))
  } else if (!gmem.has(page)) gmem.set(page, give(PageType.gmem, file, page))
}
const convert = (start: number, pages: number, shared: boolean, asker: number) => {
  tables.setRange(0, 'attributes', BASE + start, BASE + start + pages, !shared)
  if (asker === 0) tables.setRange(0, 'declared', BASE + start, BASE + start + pages, !shared)
  trace('kvm_gmem_convert', BASE + start, BASE + start + pages, shared ? 8 : 0, shared ? 0 : 8, asker, pages)
  trace(
    'gmemscope_convert_done',
    BASE + start,
    BASE + start + pages,
    shared ? 0 : 8,
    asker,
    7400 + 900 * pages,
    0,
  )
  tables.addVmFloat(0, VmFloat.CONVERSIONS, 1)
  bump()
}
const api: MachineApi = {
  async create(config, events) {
    const n = config.hostBytes / 65536
    const memory = new WebAssembly.Memory({ shared: true, initial: n, maximum: n })
    view = new MachineView(memory)
    const buffer = memory.buffer as unknown as SharedArrayBuffer
    words = new Int32Array(buffer, 0, 1024)
    tables = new MachineTables(buffer, view.layout)
    folios = new FolioTable(buffer, view.layout)
    ring = new ByteRing(buffer, view.layout.devices + UART_WORDS + UartLayout.TX_RING, TX_CAPACITY)
    ram = config.ramBytes / 4096
    t0 = performance.now()
    nextPfn = view.layout.firstFrame
    for (let p = 0; p < view.layout.firstFrame; p++) folios.assign(pfn(p), PageType.reserved, 0, 0)
    for (let i = 0; i < 9; i++) folios.assign(pfn(nextPfn++), PageType.pgtable, 0, 0)
    tables.allocVm(1, 1)
    file = tables.allocFile(1, 7, 0, 0, config.ramBytes)
    tables.writeSlots(0, [
      { id: 0, flags: 4, file, baseGfn: BASE, pages: ram, userspaceAddr: UA, fileIndex: 0 },
    ])
    tables.setRange(0, 'attributes', BASE, BASE + ram, true)
    tables.setRange(0, 'declared', BASE, BASE + ram, true)
    for (let p = 0x200; p < 0x280; p++) touch(p, false)
    for (let p = ram - 300; p < ram - 20; p++) touch(p, false)
    for (let p = ram - 20; p < ram; p++) {
      const q = give(PageType.gmem, file, p)
      folios.guestMapcount[q] = 0
    }
    for (let p = 0x4000; p < 0x4010; p++) touch(p, false)
    convert(0x4000, 4, true, 0)
    for (let p = 0x4000; p < 0x4004; p++) touch(p, true)
    convert(0x4100, 64, true, 0)
    for (let p = 0x4100; p < 0x4130; p++) touch(p, true)
    convert(0x4010, 1, true, 2)
    folios.set(pfn(nextPfn - 3), PG.locked)
    for (let p = 0x5000; p < 0x5400; p += 1 + Math.floor(Math.random() * 5)) touch(p, false)
    tables.addVmFloat(0, VmFloat.GUEST_FAULTS, nextPfn)
    setInterval(() => Atomics.add(words, Header.HEARTBEAT, 1), 50)
    let at = 0x800
    setInterval(() => {
      if (!running) return
      for (let i = 0; i < 8; i++) touch(at++, false)
      if (at > 0x1000) at = 0x800
      if (Math.random() < 0.15) {
        const s = 0x4200 + Math.floor(Math.random() * 64)
        convert(s, 2, true, 0)
        touch(s, true)
      }
      trace('gmemscope_stage2_map', BASE + at, nextPfn, 1, 1)
      bump()
    }, 150)
    setTimeout(
      () =>
        events.notice({
          severity: 'warning',
          title: 'Memory fault',
          detail:
            'The guest touched 0x84010000 as private, but its attribute says shared: KVM_EXIT_MEMORY_FAULT. The vCPU waits until the VMM converts the page.',
          gpa: 0x84010000,
        }),
      800,
    )
    say(
      'gmemscope guest monitor, hart 0\r\n  SBI 2.0, gmemscope hypervisor\r\n  \x1b[34mRAM 0x80000000-0x87ffffff\x1b[0m, private until shared\r\n\r\ngmem> ',
    )
    return memory
  },
  async run() {
    running = true
    words[Header.MACHINE_STATE] = 2
    bump()
  },
  async pause() {
    running = false
    words[Header.MACHINE_STATE] = 1
    bump()
  },
  async reset() {
    words[Header.MACHINE_STATE] = 1
  },
  async setTaskMode() {},
  async setPolicy() {},
  async consoleInput(bytes) {
    say(new TextDecoder().decode(bytes).replace('\r', '\r\ngmem> '))
    return bytes.length
  },
  async hostRead(gpa) {
    const page = gpa / 4096 - BASE
    return anon.has(page)
      ? { kind: 'ok', value: new Uint8Array(64).map((_, i) => i + 60) }
      : { kind: 'errno', errno: 'EFAULT' }
  },
  async hostWrite(_gpa, bytes) {
    return { kind: 'ok', value: bytes.length }
  },
  async hostConvert(gpa, size, toPrivate) {
    convert(gpa / 4096 - BASE, size / 4096, !toPrivate, 2)
    return { kind: 'ok', value: 0 }
  },
  async hostPunchHole(gpa) {
    const page = gpa / 4096 - BASE
    const p = gmem.get(page)
    if (p !== undefined) {
      folios.assign(pfn(p), PageType.free, 0, 0)
      gmem.delete(page)
    }
    bump()
    return { kind: 'ok', value: 0 }
  },
  async hostAllocate() {
    return { kind: 'ok', value: 0 }
  },
  async inspect(gpa) {
    const page = gpa / 4096 - BASE
    const g = gmem.get(page) ?? null
    const h = anon.get(page) ?? null
    const shared = page >= 0x4000 && page < 0x4004
    return {
      gpa,
      gfn: gpa / 4096,
      slot: { id: 0, flags: 4, baseGfn: BASE, pages: ram },
      attributePrivate: !shared,
      declaredPrivate: !shared,
      gmem: {
        file: 7,
        index: page,
        pfn: g,
        path: [
          { level: 2, index: 4, entry: 'node' },
          { level: 1, index: 0, entry: 'node' },
          { level: 0, index: 3, entry: g ? `folio pfn 0x${g.toString(16)}` : 'empty' },
        ],
      },
      host: { hva: UA + page * 4096, pfn: h },
      pfn: shared ? h : g,
      stage2: [
        { level: 2, index: 2, hpa: 0x2000010, entry: '0x0000000000800401' },
        { level: 1, index: 32, hpa: 0x2004100, entry: '0x0000000000801001' },
        { level: 0, index: 3, hpa: 0x2005018, entry: '0x00000000008a14df' },
      ],
      readableBy: shared ? ['guest', 'VMM'] : ['guest'],
      guestBytes: g !== null || h !== null ? new Uint8Array(64).map((_, i) => (i * 7) & 255) : null,
      hostBytes:
        h !== null
          ? { kind: 'ok', value: new Uint8Array(64).map((_, i) => (i * 7) & 255) }
          : { kind: 'signal', signal: 'SIGBUS', code: 'BUS_ADRERR' },
    }
  },
  async stats() {
    const seconds = (performance.now() - t0) / 1000
    return {
      seconds,
      instructions: running ? seconds * 287e6 : 0,
      exits: { mmio: seconds * 4100 },
      guestFaults: 0,
      conversions: 0,
      remoteFlushes: 0,
      zapped: 0,
    }
  },
}
Comlink.expose(api)
