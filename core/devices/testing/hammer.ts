// Worker side of the devices' thread tests: each job drives one shared device as a vCPU's worker would.
import { workerData } from 'node:worker_threads'
import { DeviceLock } from '../lock.ts'
import { Plic } from '../plic/device.ts'
import { Uart16550 } from '../uart16550/device.ts'
import { Lsr, UartReg } from '../uart16550/registers.ts'
import { CLAIMS_WORD } from './claims.ts'

type Job =
  | { kind: 'count'; buffer: SharedArrayBuffer; rounds: number }
  | { kind: 'transmit'; buffer: SharedArrayBuffer; bytes: number }
  | { kind: 'interrupts'; buffer: SharedArrayBuffer; source: number; rounds: number }

const job = workerData as Job
const words = new Int32Array(job.buffer)

if (job.kind === 'count') {
  const lock = new DeviceLock(words, 0)
  for (let round = 0; round < job.rounds; round++) {
    lock.acquire()
    words[1] = words[1] + 1
    lock.release()
  }
} else if (job.kind === 'transmit') {
  const uart = new Uart16550(job.buffer, 0, () => {})
  let sent = 0
  while (sent < job.bytes) {
    if ((uart.read(UartReg.LSR) & Lsr.THRE) === 0) continue
    // One whole FIFO per THRE, as a 16550 driver does.
    for (let i = 0; i < 16 && sent < job.bytes; i++, sent++)
      uart.write(UartReg.RHR_THR_DLL, (sent * 7) & 0xff)
  }
} else {
  // Raises its own source and, as the one hart, claims and completes whatever it finds.
  const plic = new Plic(job.buffer, 0, 1, () => {})
  for (let round = 0; round < job.rounds; round++) {
    plic.setLevel(job.source, true)
    plic.setLevel(job.source, false)
    for (;;) {
      const source = plic.read32(0x200004)
      if (source === 0) break
      Atomics.add(words, CLAIMS_WORD + source, 1)
      // Between claim and completion no other worker may be given the same source.
      const owners = Atomics.add(words, CLAIMS_WORD + 32 + source, 1)
      if (owners !== 0) throw new Error(`source ${source} claimed twice`)
      Atomics.sub(words, CLAIMS_WORD + 32 + source, 1)
      plic.write32(0x200004, source)
    }
  }
}
