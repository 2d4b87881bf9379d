// Records what qemu-riscv64 (Debian's qemu-user) makes of the random streams.
// usage: node scripts/run.mjs core/engine/testing/record-qemu.ts > core/engine/testing/qemu-outcomes.json

import { QemuUser } from './qemu-user.ts'
import { fnv, randomProgram } from './random-program.ts'
import { type StreamName, streams } from './streams.ts'

const STREAMS = 64
const LENGTH = 3000

const qemu = QemuUser.find()
if (!qemu) throw new Error('qemu-riscv64 is not installed: it is in the package qemu-user')
const outcomes: Record<string, Record<string, string>> = {}
for (const stream of Object.keys(streams) as StreamName[]) {
  outcomes[stream] = {}
  for (let seed = 1; seed <= STREAMS; seed++)
    outcomes[stream][seed] = fnv(qemu.run(randomProgram(seed, LENGTH, stream)))
}
qemu.end()
console.log(JSON.stringify({ recordedWith: qemu.version, length: LENGTH, outcomes }, null, 2))
