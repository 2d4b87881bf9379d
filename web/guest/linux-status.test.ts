import { describe, expect, it } from 'vitest'
import { LINUX_COMMAND_LINE } from '../../core/machine/linux-guest.ts'
import { defaultLinux, recallLinux } from './linux-settings.ts'
import { canBoot, readStatus } from './linux-status.ts'

describe('the server’s answer', () => {
  it('is read field by field', () => {
    expect(readStatus({ state: 'fetching', step: 'Fetching', fraction: 0.25 })).toEqual({
      state: 'fetching',
      step: 'Fetching',
      fraction: 0.25,
    })
    expect(readStatus({ state: 'ready', release: '6.12', kernelBytes: 30, initrdBytes: 2 })).toEqual({
      state: 'ready',
      release: '6.12',
      bytes: 32,
    })
    expect(readStatus({ state: 'unavailable', reason: 'no network', remedy: 'wait' })).toEqual({
      state: 'unavailable',
      reason: 'no network',
      remedy: 'wait',
    })
  })

  it.each([[null], ['ready'], [{}], [{ state: 'else' }], [[]]])('%j is no such server’s', (answer) => {
    expect(readStatus(answer)).toEqual({ state: 'absent' })
  })

  it('with fields of other types means what is sure', () => {
    expect(readStatus({ state: 'fetching', step: 7, fraction: 'half' })).toEqual({
      state: 'fetching',
      step: '',
      fraction: 0,
    })
    expect(readStatus({ state: 'fetching', step: '', fraction: 9 })).toMatchObject({ fraction: 1 })
  })
})

it('boots from the server’s files, or from a kernel of the person’s own', () => {
  const kernel = { name: 'Image', kind: 'Linux Image', bytes: 1, kept: true }
  expect(canBoot({ state: 'absent' }, {})).toBe(false)
  expect(canBoot({ state: 'fetching', step: '', fraction: 0.5 }, {})).toBe(false)
  expect(canBoot({ state: 'absent' }, { initrd: kernel })).toBe(false)
  expect(canBoot({ state: 'absent' }, { kernel })).toBe(true)
  expect(canBoot({ state: 'ready', release: '6.12', bytes: 1 }, {})).toBe(true)
})

describe('remembered settings', () => {
  it('come back', () => {
    const saved = { vcpus: 4, ramMiB: 512, private: false, append: 'console=ttyS0 debug' }
    expect(recallLinux(JSON.parse(JSON.stringify(saved)))).toEqual(saved)
  })

  it.each([[undefined], [null], ['x'], [{ vcpus: 3, ramMiB: 100, private: 'yes', append: 1 }]])(
    '%j: the defaults for what is not offered',
    (saved) => {
      expect(recallLinux(saved)).toEqual(defaultLinux)
      expect(defaultLinux.append).toBe(LINUX_COMMAND_LINE)
    },
  )
})
