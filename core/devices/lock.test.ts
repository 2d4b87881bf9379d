// The device lock excludes real threads.
import { expect, it } from 'vitest'
import { DeviceLock } from './lock.ts'
import { bundleWorker, finished } from './testing/bundle-worker.ts'

it('loses no increment of three threads', async () => {
  const start = await bundleWorker(new URL('./testing/hammer.ts', import.meta.url))
  const buffer = new SharedArrayBuffer(4096)
  const rounds = 100_000
  const job = { kind: 'count', buffer, rounds }
  await Promise.all([start(job), start(job), start(job)].map(finished))
  expect([...new Int32Array(buffer, 0, 2)]).toEqual([0, 3 * rounds])
})

it('is free again after release, and leaves its neighbours alone', () => {
  const words = new Int32Array(new SharedArrayBuffer(16))
  const lock = new DeviceLock(words, 2)
  lock.acquire()
  expect([...words]).toEqual([0, 0, 1, 0])
  lock.release()
  expect([...words]).toEqual([0, 0, 0, 0])
})
