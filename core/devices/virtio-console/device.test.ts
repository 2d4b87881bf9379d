// The virtio console: nothing printed or typed is lost, whoever lags, and the terminal's size is heard of.
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { ByteRing, byteRingSize } from '../byte-ring.ts'
import { CommonReg, VirtioCap, VirtioIsr } from '../virtio/registers.ts'
import { TestDriver } from '../virtio/testing/driver.ts'
import { RAM } from '../virtio/testing/guest-ram.ts'
import { VirtioConsole } from './device.ts'
import { CONSOLE_INPUT_BYTES, ConsoleQueue } from './registers.ts'

const CAPACITY = 64
const DATA = 0x4000

let output: ByteRing
let driver: TestDriver<VirtioConsole>

beforeEach(() => {
  output = new ByteRing(new SharedArrayBuffer(byteRingSize(CAPACITY)), 0, CAPACITY)
  driver = new TestDriver(new VirtioConsole(output))
  driver.start()
})

const print = (bytes: readonly number[], at = DATA): void => {
  driver.ram.bytes.set(bytes, at)
  driver.queues[ConsoleQueue.TRANSMIT].add([{ gpa: RAM + at, length: bytes.length }])
  driver.kick(ConsoleQueue.TRANSMIT)
}

const resume = (): void => {
  const { device } = driver
  const { transport } = driver.function
  driver.run(transport.act(() => device.resume(transport)))
}

const type = (bytes: Uint8Array): number => {
  const { device } = driver
  const { transport } = driver.function
  const taken = device.take(bytes)
  driver.run(transport.act(() => device.deliver(transport)))
  return taken
}

describe('printing', () => {
  it('holds requests back while the reader lags, and goes on where it stopped', () => {
    const sent = Array.from({ length: 150 }, (_, i) => i)
    print(sent.slice(0, 100), DATA)
    print(sent.slice(100), DATA + 0x1000)
    const queue = driver.queues[ConsoleQueue.TRANSMIT]
    expect([
      queue.takeUsed().length,
      driver.device.canResume(driver.function.transport),
      driver.level,
    ]).toEqual([0, false, false])
    const seen = [...output.drain(50)]
    expect(driver.device.canResume(driver.function.transport)).toBe(true)
    resume()
    expect([queue.takeUsed().length, driver.level]).toEqual([1, true])
    while (driver.device.stalled(driver.function.transport)) {
      seen.push(...output.drain(7))
      resume()
    }
    seen.push(...output.drain(CAPACITY))
    expect(seen).toEqual(sent)
    expect(queue.takeUsed()).toEqual([{ head: 1, written: 0 }])
  })

  it('D8 prints all in order, whatever the sizes of requests and of readings', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 0, maxLength: 200 }), { maxLength: 7 }),
        fc.integer({ min: 1, max: CAPACITY }),
        (texts, step) => {
          driver.start()
          output.reset()
          const seen: number[] = []
          for (const [i, text] of texts.entries()) print([...text], DATA + 0x100 * i)
          while (driver.device.stalled(driver.function.transport) || output.length > 0) {
            seen.push(...output.drain(step))
            resume()
          }
          expect(seen).toEqual(texts.flatMap((text) => [...text]))
          expect(driver.queues[ConsoleQueue.TRANSMIT].takeUsed()).toHaveLength(texts.length)
        },
      ),
    )
  })

  it('wants no more turns once the device stopped', () => {
    print(Array.from({ length: 100 }, () => 1))
    const { device } = driver
    const { transport } = driver.function
    expect(device.stalled(transport)).toBe(true)
    driver.queues[ConsoleQueue.RECEIVE].add([{ gpa: 0, length: 1, write: true }])
    type(Uint8Array.of(1))
    expect(driver.stops).toHaveLength(1)
    output.drain(CAPACITY)
    expect([device.stalled(transport), device.canResume(transport)]).toEqual([false, false])
  })

  it('forgets what it was printing when the driver resets it', () => {
    print(Array.from({ length: 100 }, () => 1))
    driver.start()
    expect(driver.device.stalled(driver.function.transport)).toBe(false)
    output.drain(CAPACITY)
    print([2])
    expect([...output.drain(CAPACITY)]).toEqual([2])
  })
})

describe('typing', () => {
  it('waits for buffers, and fills them one after the other', () => {
    expect(type(Uint8Array.of(1, 2, 3, 4, 5))).toBe(5)
    const queue = driver.queues[ConsoleQueue.RECEIVE]
    queue.add([{ gpa: RAM + DATA, length: 3, write: true }])
    queue.add([{ gpa: RAM + DATA + 3, length: 3, write: true }])
    driver.kick(ConsoleQueue.RECEIVE)
    expect(queue.takeUsed()).toEqual([
      { head: 0, written: 3 },
      { head: 1, written: 2 },
    ])
    expect([...driver.ram.bytes.subarray(DATA, DATA + 6)]).toEqual([1, 2, 3, 4, 5, 0])
    expect(driver.takeIsr()).toBe(VirtioIsr.QUEUE)
    queue.add([{ gpa: RAM + DATA, length: 3, write: true }])
    driver.kick(ConsoleQueue.RECEIVE)
    expect([queue.takeUsed(), driver.level]).toEqual([[], false])
    type(Uint8Array.of(9))
    expect([queue.takeUsed(), driver.level]).toEqual([[{ head: 2, written: 1 }], true])
  })

  it('takes no more than its buffer holds', () => {
    expect(type(new Uint8Array(CONSOLE_INPUT_BYTES - 1))).toBe(CONSOLE_INPUT_BYTES - 1)
    expect(type(new Uint8Array(5))).toBe(1)
    expect(type(new Uint8Array(5))).toBe(0)
  })
})

it('tells the driver of a new size by a configuration interrupt and generation', () => {
  const size = (): number[] => [0, 2].map((at) => driver.load(VirtioCap.DEVICE, at, 2))
  expect(size()).toEqual([80, 25])
  const before = driver.common(CommonReg.CONFIG_GENERATION, 1)
  driver.device.resize(driver.function.transport, 132, 43)
  expect(size()).toEqual([132, 43])
  expect(driver.takeIsr()).toBe(VirtioIsr.CONFIG)
  expect(driver.common(CommonReg.CONFIG_GENERATION, 1)).toBe(before + 1)
  // A driver that did not accept the feature is left alone.
  driver.status = 0
  driver.device.resize(driver.function.transport, 80, 25)
  expect([driver.level, driver.common(CommonReg.CONFIG_GENERATION, 1)]).toEqual([false, before + 1])
  driver.store(VirtioCap.DEVICE, 0, 2, 7)
  expect(size()).toEqual([80, 25])
})
