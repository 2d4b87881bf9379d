import { expect, it } from 'vitest'
import { TestDriver } from '../virtio/testing/driver.ts'
import { RAM } from '../virtio/testing/guest-ram.ts'
import { VirtioRng } from './device.ts'

it('fills what is asked for, at most 4096 bytes a request', () => {
  const asked: number[] = []
  const driver = new TestDriver(
    new VirtioRng((count) => {
      asked.push(count)
      return new Uint8Array(count).fill(asked.length)
    }),
  )
  driver.start()
  driver.queues[0].add([{ gpa: RAM + 0x4000, length: 100, write: true }])
  driver.queues[0].add([
    { gpa: RAM + 0x5000, length: 4000, write: true },
    { gpa: RAM + 0x7000, length: 0x1000, write: true },
  ])
  driver.kick(0)
  expect(asked).toEqual([100, 4096])
  expect(driver.queues[0].takeUsed()).toEqual([
    { head: 0, written: 100 },
    { head: 1, written: 4096 },
  ])
  expect([0x4063, 0x4064, 0x5000, 0x705f, 0x7060].map((at) => driver.ram.bytes[at])).toEqual([1, 0, 2, 2, 0])
})
