// The balloon: what is inflated or reported goes back to the host in as few pieces as it can.
import { beforeEach, expect, it } from 'vitest'
import { GuestMemoryFault } from '../virtio/device-memory.ts'
import { CommonReg, VirtioCap, VirtioIsr, VirtioStatus } from '../virtio/registers.ts'
import { TestDriver } from '../virtio/testing/driver.ts'
import { RAM, RAM_BYTES } from '../virtio/testing/guest-ram.ts'
import { VirtioBalloon } from './device.ts'
import { BalloonQueue } from './registers.ts'

let reclaimed: [gpa: number, size: number][]
let driver: TestDriver<VirtioBalloon>

beforeEach(() => {
  reclaimed = []
  driver = new TestDriver(
    new VirtioBalloon(function* (gpa, size) {
      yield { at: 'test/reclaim' }
      if (gpa < RAM || gpa + size > RAM + RAM_BYTES) throw new GuestMemoryFault(gpa, 'outside', 'EFAULT')
      reclaimed.push([gpa, size])
    }),
  )
  driver.start()
})

const send = (queue: number, ...pages: number[]): void => {
  for (const [i, page] of pages.entries()) driver.ram.view.setUint32(0x4000 + 4 * i, RAM / 4096 + page, true)
  driver.queues[queue].add([{ gpa: RAM + 0x4000, length: 4 * pages.length }])
  driver.kick(queue)
}

it('gives back inflated pages, neighbours in one piece, in any order', () => {
  send(BalloonQueue.INFLATE, 9, 7, 8, 12, 8)
  expect(reclaimed).toEqual([
    [RAM + 7 * 4096, 3 * 4096],
    [RAM + 12 * 4096, 4096],
  ])
  expect(driver.queues[BalloonQueue.INFLATE].takeUsed()).toEqual([{ head: 0, written: 0 }])
  send(BalloonQueue.DEFLATE, 9, 7)
  expect(driver.device.stats).toEqual({ inflated: 4, deflated: 2, reported: 0 })
  expect(reclaimed).toHaveLength(2)
})

it.each([BalloonQueue.REPORTING, BalloonQueue.REPORTING_BY_SPECIFICATION])(
  'gives back reported pages without writing into them, by queue %i',
  (queue) => {
    driver.ram.bytes.fill(0x77, 0x5000, 0x8000)
    driver.queues[queue].add([
      { gpa: RAM + 0x5000, length: 0x1000, write: true },
      { gpa: RAM + 0x6000, length: 0x2000, write: true },
    ])
    driver.kick(queue)
    expect(reclaimed).toEqual([
      [RAM + 0x5000, 0x1000],
      [RAM + 0x6000, 0x2000],
    ])
    expect(driver.device.stats.reported).toBe(3)
    expect(driver.queues[queue].takeUsed()).toEqual([{ head: 0, written: 0 }])
    expect(driver.ram.bytes.subarray(0x5000, 0x8000).every((byte) => byte === 0x77)).toBe(true)
  },
)

it('asks for pages by its configuration, and hears how many it has', () => {
  driver.device.setTarget(driver.function.transport, 500)
  expect(driver.takeIsr()).toBe(VirtioIsr.CONFIG)
  expect(driver.load(VirtioCap.DEVICE, 0, 4)).toBe(500)
  driver.store(VirtioCap.DEVICE, 4, 4, 300)
  driver.store(VirtioCap.DEVICE, 0, 4, 1)
  expect([driver.device.target, driver.device.actual]).toEqual([500, 300])
  driver.status = 0
  expect([driver.device.target, driver.device.actual]).toEqual([500, 0])
})

it('has no queue of a number that is not its own', () => {
  driver.setCommon(CommonReg.QUEUE_SELECT, 2, 3)
  driver.setCommon(CommonReg.QUEUE_ENABLE, 2, 1)
  const read = [CommonReg.QUEUE_SIZE, CommonReg.QUEUE_ENABLE, CommonReg.QUEUE_NOTIFY_OFF]
  expect(read.map((register) => driver.common(register, 2))).toEqual([0, 0, 0])
  driver.kick(3)
  expect(driver.stops).toEqual([])
})

it('stops over pages that are no RAM, half pages, and endless lists', () => {
  const spoil = [
    () => send(BalloonQueue.INFLATE, 100),
    () => {
      driver.queues[BalloonQueue.REPORTING].add([{ gpa: RAM + 0x5800, length: 0x1000, write: true }])
      driver.kick(BalloonQueue.REPORTING)
    },
    () => {
      driver.queues[BalloonQueue.INFLATE].add([{ gpa: RAM, length: 0xffffffff }])
      driver.kick(BalloonQueue.INFLATE)
    },
  ]
  for (const wrong of spoil) {
    driver.start()
    wrong()
    expect(driver.status & VirtioStatus.NEEDS_RESET).toBe(VirtioStatus.NEEDS_RESET)
  }
  expect(driver.stops.map(({ message }) => message)).toEqual([
    expect.stringContaining('outside'),
    expect.stringContaining('are no pages'),
    expect.stringContaining('4294967295 bytes of page numbers'),
  ])
  expect(reclaimed).toEqual([])
})
