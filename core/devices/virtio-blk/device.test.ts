// The disk: requests cut in any way, limits, and errors of what is behind it.
import { beforeEach, describe, expect, it } from 'vitest'
import { VirtioCap, VirtioStatus } from '../virtio/registers.ts'
import { type TestBuffer, TestDriver } from '../virtio/testing/driver.ts'
import { RAM } from '../virtio/testing/guest-ram.ts'
import { VirtioBlk } from './device.ts'
import { MemoryOverlay, OverlayDisk } from './overlay.ts'
import { BlkRequest, BlkStatus } from './registers.ts'

const IMAGE = Uint8Array.from({ length: 16 * 512 }, (_, i) => i >> 4)
const HEADER = 0x4000
const DATA = 0x5000
const STATUS = 0x6fff

let driver: TestDriver<VirtioBlk>
let disk: OverlayDisk
let errors: string[]

beforeEach(() => {
  errors = []
  disk = new OverlayDisk(IMAGE, new MemoryOverlay())
  driver = new TestDriver(new VirtioBlk(disk, (error) => errors.push(error.message)))
  driver.start()
  driver.ram.bytes[STATUS] = 0xff
})

/** Makes a request with these buffers of data; returns its status. */
const request = (type: number, sector: number, ...data: TestBuffer[]): number => {
  driver.ram.view.setUint32(HEADER, type, true)
  driver.ram.view.setBigUint64(HEADER + 8, BigInt(sector), true)
  driver.queues[0].add([
    { gpa: RAM + HEADER, length: 16 },
    ...data,
    { gpa: RAM + STATUS, length: 1, write: true },
  ])
  driver.kick(0)
  return driver.ram.bytes[STATUS]
}

const into = (length: number, at = DATA): TestBuffer => ({ gpa: RAM + at, length, write: true })
const from = (length: number, at = DATA): TestBuffer => ({ gpa: RAM + at, length })

it('says how large it is and how much it takes at once', () => {
  expect([0, 4, 8, 12, 20].map((at) => driver.load(VirtioCap.DEVICE, at, 4))).toEqual([
    16, 0, 32768, 126, 512,
  ])
})

describe('requests', () => {
  it('reads into buffers of any size', () => {
    expect(request(BlkRequest.IN, 3, into(100), into(924, DATA + 0x200))).toBe(BlkStatus.OK)
    const read = [
      ...driver.ram.bytes.subarray(DATA, DATA + 100),
      ...driver.ram.bytes.subarray(DATA + 0x200, DATA + 0x200 + 924),
    ]
    expect(read).toEqual([...IMAGE.subarray(3 * 512, 5 * 512)])
    expect(driver.queues[0].takeUsed()).toEqual([{ head: 0, written: 1025 }])
  })

  it('writes, and reads what was written', () => {
    driver.ram.bytes.fill(0xab, DATA, DATA + 512)
    expect(request(BlkRequest.OUT, 15, from(512))).toBe(BlkStatus.OK)
    const sector = new Uint8Array(512)
    disk.read(15 * 512, sector)
    expect(sector.every((byte) => byte === 0xab)).toBe(true)
    expect(driver.queues[0].takeUsed()).toEqual([{ head: 0, written: 1 }])
    expect(driver.device.stats).toMatchObject({ writes: 1, bytesWritten: 512, reads: 0 })
  })

  it('may be all in one buffer to read and one to write', () => {
    driver.ram.view.setUint32(HEADER, BlkRequest.IN, true)
    driver.ram.view.setBigUint64(HEADER + 8, 1n, true)
    driver.queues[0].add([from(16, HEADER), into(513)])
    driver.kick(0)
    expect([...driver.ram.bytes.subarray(DATA, DATA + 513)]).toEqual([...IMAGE.subarray(512, 1024), 0])
  })

  it('flushes, and tells its name', () => {
    expect(request(BlkRequest.FLUSH, 0)).toBe(BlkStatus.OK)
    expect(driver.device.stats.flushes).toBe(1)
    expect(request(BlkRequest.GET_ID, 0, into(20))).toBe(BlkStatus.OK)
    expect(String.fromCharCode(...driver.ram.bytes.subarray(DATA, DATA + 20))).toBe(
      'gmemscope-disk\0\0\0\0\0\0',
    )
  })

  it.each([
    ['past the end', BlkRequest.IN, 16, into(512), BlkStatus.IOERR],
    ['across the end', BlkRequest.IN, 15, into(1024), BlkStatus.IOERR],
    ['where no number reaches', BlkRequest.OUT, 2 ** 53, from(512), BlkStatus.IOERR],
    ['half a sector', BlkRequest.OUT, 0, from(100), BlkStatus.IOERR],
    ['a type that is unknown', 99, 0, from(512), BlkStatus.UNSUPP],
    ['no room for the name', BlkRequest.GET_ID, 0, into(10), BlkStatus.IOERR],
  ])('answers an error: %s', (_what, type, sector, buffer, status) => {
    expect(request(type, sector, buffer)).toBe(status)
    expect(driver.device.stats.errors).toBe(1)
    expect(driver.status & VirtioStatus.NEEDS_RESET).toBe(0)
    // What the driver is told was written begins at the first buffer, and there nothing was.
    expect(driver.queues[0].takeUsed()[0].written).toBe(buffer.write ? 0 : 1)
  })

  it('turns what fails behind it into an I/O error and a message', () => {
    disk.write = () => {
      throw new Error('the quota is used up')
    }
    expect(request(BlkRequest.OUT, 0, from(512))).toBe(BlkStatus.IOERR)
    expect(errors).toEqual(['the quota is used up'])
  })

  it('without header or status stops the device', () => {
    driver.queues[0].add([from(15, HEADER), into(1)])
    driver.kick(0)
    driver.start()
    driver.queues[0].add([from(16, HEADER)])
    driver.kick(0)
    expect(driver.stops).toHaveLength(2)
    expect(driver.status & VirtioStatus.NEEDS_RESET).toBe(VirtioStatus.NEEDS_RESET)
  })
})
