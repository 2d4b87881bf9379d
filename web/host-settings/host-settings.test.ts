import { describe, expect, it } from 'vitest'
import { defaultHostChoice, linuxVersions, versionTable } from '../../core/machine/host-choice.ts'
import { hostName, sameHost } from './host-name.ts'
import { recallHost } from './recall-host.ts'
import { answersAlike, versionSpans } from './version-spans.ts'

describe('hostName', () => {
  it('names what is not the default only', () => {
    expect(hostName(defaultHostChoice)).toBe('Linux 7.2 · xarray')
    const other = {
      ...defaultHostChoice,
      version: 'next-in-place',
      gmemStore: 'filemap',
      gmemLargeFolios: true,
      nodes: 2,
    } as const
    expect(hostName(other)).toBe('linux-next, in place · filemap · 2 MiB folios · 2 nodes')
    expect(hostName({ ...other, hypervisor: 'gunyah' })).toBe('Gunyah · filemap · 2 nodes')
    const granted = { ...defaultHostChoice, hypervisor: 'gunyah', gunyahReclaim: 'grant' } as const
    expect(hostName(granted)).toBe('Gunyah · xarray · reclaim granted')
    expect(sameHost(granted, { ...granted, gunyahReclaim: 'refuse' })).toBe(false)
    expect(sameHost(other, { ...other })).toBe(true)
    expect(sameHost(other, { ...other, nodes: 1 })).toBe(false)
  })
})

describe('recallHost', () => {
  it('keeps what is still offered', () => {
    const saved = {
      ...defaultHostChoice,
      version: '6.18',
      gmemStore: 'filemap',
      gmemLargeFolios: true,
      nodes: 2,
    }
    expect(recallHost(saved)).toEqual(saved)
  })

  it.each([undefined, null, 'xarray', { version: '5.4', gmemStore: 7, gmemLargeFolios: 'yes', nodes: 3 }])(
    'takes the default for %j',
    (saved) => expect(recallHost(saved)).toEqual(defaultHostChoice),
  )
})

describe('versionSpans', () => {
  it('covers every version once and says nothing twice', () => {
    for (const row of versionTable) {
      const spans = versionSpans(row)
      expect(spans.flatMap(({ versions }) => versions)).toEqual([...linuxVersions])
      for (const [i, { text, changed }] of spans.entries()) {
        expect(changed).toBe(i > 0)
        if (i > 0) expect(text).not.toBe(spans[i - 1].text)
      }
    }
  })

  it('knows which versions answer alike', () => {
    const row = versionTable.find(({ title }) => title === 'KVM_PRE_FAULT_MEMORY')
    if (!row) throw new Error('the row is gone')
    expect(answersAlike(row, '6.11', '7.2')).toBe(true)
    expect(answersAlike(row, '6.8', '6.11')).toBe(false)
  })
})
