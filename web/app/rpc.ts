// The way to the hypervisor worker: Comlink in one place.
//
// A call to a worker that died would never settle; every call therefore races against the worker's end.

import * as Comlink from 'comlink'
import type { MachineApi, MachineConfig, MachineEvents } from '../../core/machine/api.ts'

/** The hypervisor's end of the line went away. */
export class HypervisorGone extends Error {
  constructor(cause: string) {
    super(`the hypervisor worker is gone: ${cause}`)
  }
}

export interface Hypervisor {
  readonly api: MachineApi
  /** Ends the worker at once; calls in flight fail with HypervisorGone. */
  terminate(cause: string): void
}

/** Wraps a running hypervisor worker; `onError` hears of an error that nothing in the worker caught. */
export const connect = (worker: Worker, onError: (message: string) => void): Hypervisor => {
  // Every method already answers with a promise, so the remote object has the API's own type.
  const remote = Comlink.wrap<MachineApi>(worker) as unknown as MachineApi
  let end: (reason: HypervisorGone) => void = () => undefined
  const gone = new Promise<never>((_, reject) => {
    end = reject
  })
  // Nobody may be waiting when it ends.
  gone.catch(() => undefined)
  worker.addEventListener('error', (event) => {
    event.preventDefault()
    onError(event.message || 'its script could not be loaded')
  })
  worker.addEventListener('messageerror', () => onError('a message could not be read'))
  const call = <T>(result: Promise<T>): Promise<T> => Promise.race([result, gone])

  const api: MachineApi = {
    create: (config: MachineConfig, events: MachineEvents) =>
      call(remote.create(config, Comlink.proxy(events))),
    run: () => call(remote.run()),
    pause: () => call(remote.pause()),
    reset: () => call(remote.reset()),
    setTaskMode: (mode) => call(remote.setTaskMode(mode)),
    setPolicy: (policy) => call(remote.setPolicy(policy)),
    consoleInput: (bytes) => call(remote.consoleInput(bytes)),
    virtioConsoleInput: (bytes) => call(remote.virtioConsoleInput(bytes)),
    resizeVirtioConsole: (columns, rows) => call(remote.resizeVirtioConsole(columns, rows)),
    setBalloon: (bytes) => call(remote.setBalloon(bytes)),
    hostRead: (gpa, length) => call(remote.hostRead(gpa, length)),
    hostWrite: (gpa, bytes) => call(remote.hostWrite(gpa, bytes)),
    hostConvert: (gpa, size, toPrivate) => call(remote.hostConvert(gpa, size, toPrivate)),
    hostPunchHole: (gpa, size) => call(remote.hostPunchHole(gpa, size)),
    hostAllocate: (gpa, size) => call(remote.hostAllocate(gpa, size)),
    hostPin: (gpa) => call(remote.hostPin(gpa)),
    hostUnpin: (gpa) => call(remote.hostUnpin(gpa)),
    hostPoison: (gpa) => call(remote.hostPoison(gpa)),
    hostDrain: () => call(remote.hostDrain()),
    hostCompact: () => call(remote.hostCompact()),
    setPressure: (keepFree) => call(remote.setPressure(keepFree)),
    hostState: () => call(remote.hostState()),
    inspect: (gpa, length) => call(remote.inspect(gpa, length)),
    stats: () => call(remote.stats()),
    kernelTasks: () => call(remote.kernelTasks()),
    checkInvariants: () => call(remote.checkInvariants()),
  }
  return {
    api,
    terminate(cause) {
      worker.terminate()
      end(new HypervisorGone(cause))
    },
  }
}
