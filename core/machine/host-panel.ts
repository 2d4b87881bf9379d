// What a person can do to the emulated host itself, beside what the VMM process does (vmm/host-actions.ts): break a
// frame, drain the LRU batches, compact memory, and let another process take it.

import { KernelError } from '../base/errno.ts'
import { PAGE_SIZE } from '../base/units.ts'
import { type CompactionReport, compactMemory } from '../host/compaction.ts'
import type { Host } from '../host/host.ts'
import type { KernelTask, Step } from '../host/kernel-task.ts'
import { memoryFailure } from '../host/memory-failure.ts'
import { MemoryHog, type PressureReport } from '../host/pressure.ts'
import type { HostResult } from '../vmm/host-actions.ts'
import type { Vmm } from '../vmm/vmm.ts'
import type { HostState } from './api.ts'
import type { HostChoice } from './host-choice.ts'
import { hostName } from './make-vmm.ts'

export class HostPanel {
  readonly #host: Host
  readonly #vmm: Vmm
  readonly #choice: HostChoice
  readonly #hog: MemoryHog
  /** A change of pressure is under way. */
  #pressing = false
  /** Pages (GPA) whose frames were broken; some may have others by now. */
  readonly #broken = new Set<number>()

  constructor(host: Host, vmm: Vmm, choice: HostChoice) {
    this.#choice = choice
    this.#host = host
    this.#vmm = vmm
    this.#hog = new MemoryHog(host)
  }

  /** memory_failure() of the frame behind a page: its pfn. ENXIO: the page has no frame. */
  *poison(gpa: number): KernelTask<HostResult<number>> {
    const gfn = Math.floor(gpa / PAGE_SIZE)
    const { pfn } = this.#vmm.page(gfn)
    if (pfn === null) return { kind: 'errno', errno: 'ENXIO' }
    try {
      yield* memoryFailure(this.#host, pfn)
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      return { kind: 'errno', errno: error.errno }
    }
    this.#broken.add(gfn * PAGE_SIZE)
    return { kind: 'ok', value: pfn }
  }

  /** lru_add_drain_all(): references given back. */
  *drain(): KernelTask<HostResult<number>> {
    const value = yield* this.#host.lru.drainAll()
    this.#vmm.remedies++
    return { kind: 'ok', value }
  }

  compact(): KernelTask<CompactionReport> {
    return this.#brisk(compactMemory(this.#host), ({ resched }) => !resched)
  }

  /** One change of pressure after the other: it is one process. */
  *press(keepFree: number | null): KernelTask<PressureReport> {
    yield { at: 'memory_hog/wait', until: () => !this.#pressing }
    this.#pressing = true
    try {
      yield* this.#brisk(this.#hog.keepFree(keepFree), () => false)
    } finally {
      this.#pressing = false
    }
    const report = this.#hog.report()
    this.#host.trace('gmemscope_pressure', report.freeFrames, report.hogFrames)
    return report
  }

  /** In slow motion, a task that shows only the steps of interest: of the others there are thousands. */
  *#brisk<T>(task: KernelTask<T>, ofInterest: (step: Step) => boolean): KernelTask<T> {
    for (;;) {
      const next = task.next()
      if (next.done) return next.value
      const step = next.value
      const parks = step.until ? !step.until() : !this.#host.scheduler.stepping || ofInterest(step)
      if (parks) yield step
    }
  }

  state(): HostState {
    const { pins } = this.#vmm
    return {
      profile: hostName(this.#choice),
      hypervisor: this.#choice.hypervisor,
      store: this.#choice.gmemStore,
      nodes: this.#host.buddy.nodes,
      pinned: pins.pages,
      poisoned: [...this.#broken].filter((gpa) => this.#vmm.page(gpa / PAGE_SIZE).poisoned),
      pressure: this.#hog.report(),
    }
  }
}
