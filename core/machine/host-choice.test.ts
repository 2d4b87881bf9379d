import { expect, test } from 'vitest'
import { linuxVersions, versionTable } from './host-choice.ts'

test('the version table has a cell for each version, marked where the answer is another than before', () => {
  expect(versionTable.length).toBeGreaterThan(10)
  for (const { title, cells } of versionTable) {
    expect(
      cells.map(({ version }) => version),
      title,
    ).toEqual(linuxVersions)
    expect(cells[0].changed, title).toBe(false)
    for (let i = 1; i < cells.length; i++)
      expect(cells[i].changed, `${title}, ${cells[i].version}`).toBe(cells[i].text !== cells[i - 1].text)
  }
})

test('what each version changed, for a person who compares two', () => {
  const changed = (version: string): string[] =>
    versionTable
      .filter(({ cells }) => cells.some((cell) => cell.version === version && cell.changed))
      .map(({ title }) => title)
  expect(changed('6.8')).toEqual([])
  expect(changed('6.11')).toContain('KVM_PRE_FAULT_MEMORY')
  expect(changed('6.18')).toContain('Create flags MMAP and INIT_SHARED')
  expect(changed('next-in-place')).toContain('Where private and shared are tracked')
})
