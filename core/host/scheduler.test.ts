import { expect, test } from 'vitest'
import type { KernelTask } from './kernel-task.ts'
import { Lockdep, LockOrderError } from './lockdep.ts'
import { type LockContext, Mutex, RwLock } from './locks.ts'
import { Scheduler } from './scheduler.ts'

const context = (): LockContext & { scheduler: Scheduler } => ({
  scheduler: new Scheduler(),
  lockdep: new Lockdep(),
})

function* steps(log: string[], name: string, count: number): KernelTask<string> {
  for (let i = 0; i < count; i++) {
    log.push(`${name}${i}`)
    yield { at: `${name}/${i}` }
  }
  return name
}

test('run mode drives a task until it parks, and pump says whether something is left', () => {
  const { scheduler } = context()
  const log: string[] = []
  let open = false
  const gate = scheduler.spawn(
    'gate',
    (function* (): KernelTask<number> {
      yield { at: 'wait', until: () => open }
      log.push('through')
      return 1
    })(),
  )
  scheduler.spawn('a', steps(log, 'a', 2))
  expect(scheduler.pump()).toBe('waiting')
  expect(log).toEqual(['a0', 'a1'])
  open = true
  expect(scheduler.pump()).toBe('idle')
  expect(gate).toMatchObject({ done: true, value: 1 })
  expect(scheduler.pump()).toBe('idle')
})

test('a promise settles with the result or the error', async () => {
  const { scheduler } = context()
  const good = scheduler.spawn('good', steps([], 'x', 1)).result()
  const bad = scheduler
    .spawn(
      'bad',
      (function* (): KernelTask<void> {
        yield { at: 'bad' }
        throw new Error('broken')
      })(),
    )
    .result()
  const lost: string[] = []
  scheduler.onFailure = (task) => lost.push(task.name)
  scheduler.spawn(
    'nobody asks',
    (function* (): KernelTask<void> {
      yield { at: 'bad' }
      throw new Error('unseen')
    })(),
  )
  scheduler.pump()
  expect(lost).toEqual(['nobody asks'])
  await expect(good).resolves.toBe('x')
  await expect(bad).rejects.toThrow('broken')
})

test('a seed names a schedule; another seed another one', () => {
  const order = (seed: number): string => {
    const { scheduler } = context()
    const log: string[] = []
    scheduler.setMode({ kind: 'shuffle', seed })
    for (const name of ['a', 'b', 'c']) scheduler.spawn(name, steps(log, name, 5))
    scheduler.pump()
    return log.join(' ')
  }
  expect(order(1)).toBe(order(1))
  expect(new Set([1, 2, 3, 4].map(order)).size).toBeGreaterThan(1)
})

test('slow mode takes one step at a time, and none before its time', () => {
  const { scheduler } = context()
  const log: string[] = []
  const seen: string[] = []
  scheduler.onStep = (_task, step) => seen.push(step.at)
  scheduler.setMode({ kind: 'slow', stepMs: 10_000 })
  scheduler.spawn('a', steps(log, 'a', 3))
  expect(scheduler.pump()).toBe('waiting')
  expect(scheduler.pump()).toBe('waiting')
  expect(log).toEqual(['a0'])
  expect(seen).toEqual(['a/0'])
  expect(scheduler.nextStepAt).toBeGreaterThan(Date.now())
  scheduler.setMode({ kind: 'run' })
  expect(scheduler.pump()).toBe('idle')
  expect(log).toEqual(['a0', 'a1', 'a2'])
})

test('a mutex has one owner, and a synchronous run lets the owner finish', () => {
  const at = context()
  const mutex = new Mutex(at, 'm')
  const log: string[] = []
  let go = false
  at.scheduler.spawn(
    'owner',
    (function* (): KernelTask<void> {
      yield* mutex.lock()
      yield { at: 'busy', until: () => go }
      log.push('owner')
      mutex.unlock()
    })(),
  )
  at.scheduler.pump()
  expect(mutex.locked).toBe(true)
  go = true
  at.scheduler.runSync(
    (function* (): KernelTask<void> {
      yield* mutex.lock()
      log.push('second')
      mutex.unlock()
    })(),
  )
  expect(log).toEqual(['owner', 'second'])
})

test('L1 a waiting writer holds new readers back and is not starved', () => {
  const at = context()
  const lock = new RwLock(at, 'rw')
  const log: string[] = []
  let release = false
  const reader = (name: string, until?: () => boolean): KernelTask<void> =>
    (function* () {
      yield* lock.readLock()
      log.push(name)
      if (until) yield { at: 'read', until }
      lock.readUnlock()
    })()
  at.scheduler.spawn(
    'r1',
    reader('r1', () => release),
  )
  at.scheduler.pump()
  at.scheduler.spawn(
    'w',
    (function* (): KernelTask<void> {
      yield* lock.writeLock()
      log.push('w')
      lock.writeUnlock()
    })(),
  )
  at.scheduler.spawn('r2', reader('r2'))
  at.scheduler.pump()
  expect(log).toEqual(['r1'])
  release = true
  expect(at.scheduler.pump()).toBe('idle')
  expect(log).toEqual(['r1', 'w', 'r2'])
})

test('L1 lockdep reports an order that could deadlock, with both paths', () => {
  const at = context()
  const locks = { a: new Mutex(at, 'A'), b: new Mutex(at, 'B'), c: new Mutex(at, 'C') }
  const nest = (name: string, outer: Mutex, inner: Mutex): void =>
    at.scheduler.runSync(
      (function* (): KernelTask<void> {
        yield* outer.lock()
        yield* inner.lock()
        inner.unlock()
        outer.unlock()
      })(),
      name,
    )
  nest('first', locks.a, locks.b)
  nest('second', locks.b, locks.c)
  try {
    nest('third', locks.c, locks.a)
    throw new Error('no report')
  } catch (error) {
    expect(error).toBeInstanceOf(LockOrderError)
    expect(error).toMatchObject({ cycle: ['A', 'B', 'C', 'A'] })
    expect((error as Error).message).toMatch(/third takes A[\s\S]*first takes B[\s\S]*second takes C/)
  }
})

test('L1 taking a lock of a class already held is a cycle of one', () => {
  const at = context()
  const [one, two] = [new Mutex(at, 'A'), new Mutex(at, 'A')]
  const nested = function* (): KernelTask<void> {
    yield* one.lock()
    yield* two.lock()
  }
  expect(() => at.scheduler.runSync(nested())).toThrow('A -> A')
})

test('a long task gives way at its resched points, so that one that came later need not wait for it', () => {
  const at = context()
  const log: string[] = []
  at.scheduler.spawn(
    'long',
    (function* (): KernelTask<void> {
      for (let i = 0; i < 3; i++) {
        log.push('long')
        yield { at: 'cond_resched', resched: true }
      }
    })(),
  )
  at.scheduler.spawn(
    'short',
    (function* (): KernelTask<void> {
      yield { at: 'a step that waits for nothing' }
      log.push('short')
    })(),
  )
  expect(at.scheduler.pump()).toBe('waiting')
  expect(at.scheduler.gaveWay).toBe(true)
  expect(log).toEqual(['long', 'short'])
  while (at.scheduler.pump() === 'waiting');
  expect(log).toEqual(['long', 'short', 'long', 'long'])
})

test('a task run synchronously gives way too', () => {
  const at = context()
  const log: string[] = []
  at.scheduler.spawn(
    'other',
    (function* (): KernelTask<void> {
      yield { at: 'a step that waits for nothing' }
      log.push('other')
    })(),
  )
  at.scheduler.runSync(
    (function* (): KernelTask<void> {
      yield { at: 'cond_resched', resched: true }
      log.push('long')
    })(),
  )
  expect(log).toEqual(['other', 'long'])
})

test('free locks are steps only where a task is driven step by step', () => {
  const at = context()
  const mutex = new Mutex(at, 'M')
  const holds = function* (): KernelTask<void> {
    yield* mutex.lock()
    yield { at: 'held' }
    mutex.unlock()
  }
  const stepped = at.scheduler.spawn('stepped', holds())
  at.scheduler.step(stepped)
  expect(stepped.step?.at).toBe('lock M')
  at.scheduler.step(stepped)
  expect(stepped.step?.at).toBe('held')
  at.scheduler.pump()
  const straight = holds()
  expect(straight.next().value).toMatchObject({ at: 'held' })
})
