// Pieces of guest programs, and ways to drive vCPUs together with their VMM, for the tests named after kernel selftests.

import { SbiExtension } from '../../hart/sbi.ts'
import type { KernelTask } from '../../host/kernel-task.ts'
import { seededRandom, type TaskHandle } from '../../host/scheduler.ts'
import { ExitReason } from '../uapi.ts'
import type { InlineMachine } from './inline-vcpus.ts'

/** Guest physical addresses where nothing is: a store to DOORBELL reports a value, a store to DONE the end. */
export const DOORBELL = 0x1000
export const DONE = 0x1008

/** Tells the VMM what a register holds, by an MMIO exit. Uses s11. */
export const report = (register: string): string => `
  li s11, ${DOORBELL}
  sd ${register}, 0(s11)
`

/** The end of a program. */
export const finish = `
  li s11, ${DONE}
  sd zero, 0(s11)
`

/** An SBI call. */
export const ecall = (extension: number, fid: number, ...args: readonly number[]): string =>
  `${args.map((value, i) => `li a${i}, ${value}`).join('\n')}
  li a6, ${fid}
  li a7, ${extension}
  ecall
`

export const SHUTDOWN = ecall(SbiExtension.SRST, 0, 0, 0)

/** What KVM_RUN came back with. */
export interface GuestExit {
  /** 0 or -errno. */
  readonly result: number
  readonly reason: number
}

/**
 * Runs a vCPU until it is done or an exit comes that `loads` does not answer; returns that exit and what the program
 * reported. `loads` gets the address of every MMIO load and says what is read there.
 */
export const runReporting = (
  machine: InlineMachine,
  id = 0,
  loads: (gpa: number) => number | null = () => null,
): { readonly reports: readonly number[]; readonly exit: GuestExit } => {
  const { run } = machine.vcpu(id)
  const reports: number[] = []
  for (;;) {
    const result = machine.run(id)
    const exit = { result, reason: run.exitReason }
    if (result !== 0 || run.exitReason !== ExitReason.MMIO) return { reports, exit }
    const { gpa, write, low } = run.mmio
    if (write && gpa === DONE) return { reports, exit }
    if (write && gpa === DOORBELL) {
      reports.push(low)
      continue
    }
    const answer = write ? null : loads(gpa)
    if (answer === null) return { reports, exit }
    run.setMmioData(answer, 0)
  }
}

/**
 * Takes steps of a VMM's task and of vCPUs in an order that a seed decides, until the task is done and every vCPU has
 * been told to stop. `exited` sees each return of KVM_RUN and says whether the vCPU runs on.
 */
export const race = (
  machine: InlineMachine,
  vmm: KernelTask<number>,
  seed: number,
  exited: (id: number, result: number, vmmDone: boolean) => boolean,
): number => {
  const { scheduler } = machine.kvm.host
  const random = seededRandom(seed)
  const task = scheduler.spawn('vmm', vmm)
  const runs: (TaskHandle<number> | null)[] = machine.fds.map((_, id) => machine.start(id))
  const turn = (id: number): void => {
    const run = runs[id]
    if (run === null) return
    machine.serve(id)
    if (run.runnable) scheduler.step(run)
    if (!run.done) return
    if (run.failed) throw run.error
    runs[id] = exited(id, run.value ?? 0, task.done) ? machine.start(id) : null
  }
  while (!task.done || runs.some((run) => run !== null)) {
    const choice = random() % (runs.length + 1)
    if (choice < runs.length) turn(choice)
    else if (!task.done && task.runnable) scheduler.step(task)
  }
  if (task.failed) throw task.error
  return task.value ?? 0
}
