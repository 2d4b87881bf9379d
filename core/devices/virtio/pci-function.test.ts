// A virtio device over PCI as its driver sees it: capabilities, negotiation, queues, interrupts, and faults.
import { beforeEach, describe, expect, it } from 'vitest'
import { PciCommand, PciReg, PciStatus } from '../pci/registers.ts'
import { VirtioRng } from '../virtio-rng/device.ts'
import { CommonReg, VirtioCap, VirtioIsr, VirtioStatus } from './registers.ts'
import { TestDriver } from './testing/driver.ts'
import { RAM } from './testing/guest-ram.ts'

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET } = VirtioStatus
const DATA = RAM + 0x4000

let driver: TestDriver<VirtioRng>

beforeEach(() => {
  driver = new TestDriver(new VirtioRng((count) => new Uint8Array(count).fill(0x5a)))
})

const request = (): void => {
  driver.queues[0].add([{ gpa: DATA, length: 4, write: true }])
  driver.kick(0)
}

describe('negotiation', () => {
  it('wants VIRTIO_F_VERSION_1 and nothing that was not offered', () => {
    driver.setCommon(CommonReg.DEVICE_FEATURE_SELECT, 4, 1)
    expect(driver.common(CommonReg.DEVICE_FEATURE, 4)).toBe(1)
    driver.setCommon(CommonReg.DEVICE_FEATURE_SELECT, 4, 2)
    expect(driver.common(CommonReg.DEVICE_FEATURE, 4)).toBe(0)
    for (const [low, high, agreed] of [
      [0, 0, 0],
      [1, 1, 0],
      [0, 3, 0],
      [0, 1, FEATURES_OK],
    ]) {
      driver.status = 0
      driver.accept(low, high)
      driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
      expect(driver.status).toBe(ACKNOWLEDGE | DRIVER | agreed)
    }
    // Agreed is agreed.
    driver.accept(0, 0)
    expect(driver.common(CommonReg.DRIVER_FEATURE, 4)).toBe(1)
  })

  it('takes no sizes that are no power of two or too large, and no change of an enabled queue', () => {
    expect(driver.common(CommonReg.NUM_QUEUES, 2)).toBe(1)
    expect(driver.common(CommonReg.QUEUE_SIZE, 2)).toBe(8)
    for (const size of [0, 3, 16, 0xffff]) driver.setCommon(CommonReg.QUEUE_SIZE, 2, size)
    expect(driver.common(CommonReg.QUEUE_SIZE, 2)).toBe(8)
    driver.setCommon(CommonReg.QUEUE_SIZE, 2, 4)
    driver.setCommon(CommonReg.QUEUE_DEVICE + 4, 4, 0x12)
    driver.setCommon(CommonReg.QUEUE_DEVICE, 4, 0xfffffffc)
    driver.setCommon(CommonReg.QUEUE_ENABLE, 2, 1)
    driver.setCommon(CommonReg.QUEUE_SIZE, 2, 8)
    driver.setCommon(CommonReg.QUEUE_DEVICE, 4, 0)
    driver.setCommon(CommonReg.QUEUE_ENABLE, 2, 0)
    expect([CommonReg.QUEUE_SIZE, CommonReg.QUEUE_ENABLE].map((at) => driver.common(at, 2))).toEqual([4, 1])
    expect(driver.common(CommonReg.QUEUE_DEVICE, 4)).toBe(0xfffffffc)
    expect(driver.common(CommonReg.QUEUE_DEVICE + 4, 4)).toBe(0x12)
    driver.setCommon(CommonReg.QUEUE_SELECT, 2, 1)
    expect(driver.common(CommonReg.QUEUE_SIZE, 2)).toBe(0)
  })

  it('a wrong width reads 0 and changes nothing', () => {
    driver.status = ACKNOWLEDGE
    driver.setCommon(CommonReg.DEVICE_STATUS, 4, 0)
    driver.setCommon(CommonReg.QUEUE_SIZE, 1, 4)
    expect(driver.common(CommonReg.DEVICE_STATUS, 4)).toBe(0)
    expect([driver.status, driver.common(CommonReg.QUEUE_SIZE, 2)]).toEqual([ACKNOWLEDGE, 8])
  })
})

describe('at work', () => {
  it('serves what is kicked, and interrupts until the cause is read', () => {
    driver.start()
    request()
    expect(driver.queues[0].takeUsed()).toEqual([{ head: 0, written: 4 }])
    expect(driver.ram.bytes[0x4003]).toBe(0x5a)
    expect(driver.level).toBe(true)
    expect(driver.function.loadConfig(PciReg.STATUS, 2) & PciStatus.INTERRUPT).toBe(PciStatus.INTERRUPT)
    expect(driver.takeIsr()).toBe(VirtioIsr.QUEUE)
    expect([driver.level, driver.takeIsr()]).toEqual([false, 0])
    expect(driver.function.loadConfig(PciReg.STATUS, 2) & PciStatus.INTERRUPT).toBe(0)
  })

  it('does nothing before the driver is ready, and then what waited', () => {
    driver.prepare()
    request()
    expect(driver.queues[0].takeUsed()).toEqual([])
    driver.status |= DRIVER_OK
    expect(driver.queues[0].takeUsed()).toHaveLength(1)
  })

  it('keeps the interrupt from the line while INTx is off', () => {
    driver.start()
    driver.run(driver.function.storeConfig(PciReg.COMMAND, 2, PciCommand.MEMORY | PciCommand.INTX_DISABLE))
    request()
    expect(driver.level).toBe(false)
    driver.run(driver.function.storeConfig(PciReg.COMMAND, 2, PciCommand.MEMORY))
    expect(driver.level).toBe(true)
  })

  it('reaches BAR 0 through configuration space, too', () => {
    driver.start()
    const { config } = driver.function
    let window = config.load(PciReg.CAPABILITY_LIST, 1)
    while (config.load(window + 3, 1) !== VirtioCap.PCI) window = config.load(window + 1, 1)
    const point = (bar: number, offset: number, length: number): void => {
      driver.run(driver.function.storeConfig(window + 4, 1, bar))
      driver.run(driver.function.storeConfig(window + 8, 4, offset))
      driver.run(driver.function.storeConfig(window + 12, 4, length))
    }
    point(0, driver.structure(VirtioCap.COMMON) + CommonReg.NUM_QUEUES, 2)
    expect(driver.function.loadConfig(window + 16, 2)).toBe(1)
    for (const [bar, offset, length] of [
      [1, 0x12, 2],
      [0, 0x13, 2],
      [0, 0x12, 4],
      [0, 0xffffff00, 2],
    ]) {
      point(bar, offset, length)
      expect(driver.function.loadConfig(window + 16, 2)).toBe(0)
      expect(driver.run(driver.function.storeConfig(window + 16, 2, 0))).toBeFalsy()
    }
    driver.queues[0].add([{ gpa: DATA, length: 4, write: true }])
    point(0, driver.structure(VirtioCap.NOTIFY), 2)
    driver.run(driver.function.storeConfig(window + 16, 2, 0))
    expect(driver.queues[0].takeUsed()).toHaveLength(1)
  })
})

it('D7 hands each request back once, whatever vCPUs kick at once', () => {
  const { scheduler } = driver.host
  for (let seed = 0; seed < 60; seed++) {
    driver.start()
    scheduler.setMode({ kind: 'shuffle', seed })
    const heads = [1, 2, 3].map((page) =>
      driver.queues[0].add([{ gpa: RAM + 0x4000 * page, length: 9, write: true }]),
    )
    const kick = () => driver.function.bar0.store(driver.structure(VirtioCap.NOTIFY), 2, 0)
    const tasks = [0, 1, 2].map((vcpu) => {
      const task = kick()
      if (!task) throw new Error('a kick is a task')
      return scheduler.spawn(`vcpu${vcpu}`, task)
    })
    while (scheduler.pump() !== 'idle');
    expect(tasks.every(({ done, failed }) => done && !failed)).toBe(true)
    expect(driver.queues[0].takeUsed()).toEqual(heads.map((head) => ({ head, written: 9 })))
    expect(driver.takeIsr()).toBe(VirtioIsr.QUEUE)
    scheduler.setMode({ kind: 'run' })
  }
})

describe('D6 a driver that breaks the rules', () => {
  const stopped = (): void => {
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET)
    expect(driver.level).toBe(true)
    expect(driver.takeIsr() & VirtioIsr.CONFIG).toBe(VirtioIsr.CONFIG)
    expect(driver.stops).toHaveLength(1)
    // No more work, and no second notice, until a reset.
    request()
    expect([driver.level, driver.stops.length]).toEqual([false, 1])
    driver.start()
    expect(driver.status).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
    request()
    expect(driver.queues[0].takeUsed()).toHaveLength(1)
  }

  it('stops its device over a queue that loops', () => {
    driver.start()
    driver.queues[0].add([{ gpa: DATA, length: 4, write: true }])
    driver.queues[0].describe(0, DATA, 4, 3, 0)
    driver.kick(0)
    expect(driver.stops[0].message).toContain('loop')
    stopped()
  })

  it('stops its device over private memory, as a queue or as a buffer', () => {
    for (const page of [RAM, RAM + 0x4000]) {
      driver.stops.length = 0
      driver.start()
      driver.queues[0].add([{ gpa: DATA, length: 4, write: true }])
      driver.ram.private.add(page)
      driver.kick(0)
      expect(driver.stops[0]).toMatchObject({ why: 'private', error: 'ENODEV' })
      driver.ram.private.clear()
      stopped()
    }
  })

  it('stops its device over addresses that are no RAM', () => {
    driver.start()
    driver.queues[0].add([{ gpa: 2 ** 63, length: 4, write: true }])
    driver.kick(0)
    expect(driver.stops[0]).toMatchObject({ why: 'outside', gpa: 2 ** 63 })
    stopped()
  })
})
