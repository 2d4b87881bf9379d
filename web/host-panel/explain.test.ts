import { expect, it } from 'vitest'
import { explain, failureName } from './explain.ts'

it('names a failure as Linux does and says what to do about it', () => {
  const held = { kind: 'errno', errno: 'EAGAIN', gpa: 0x84002000 } as const
  expect(failureName(held)).toBe('EAGAIN')
  expect(explain('convert', held)).toContain('Unpin')
  const poisoned = { kind: 'signal', signal: 'SIGBUS', code: 'BUS_MCEERR_AR' } as const
  expect(failureName(poisoned)).toBe('SIGBUS (BUS_MCEERR_AR)')
  expect(explain('read', poisoned)).toContain('poisoned')
  expect(explain('allocate', { kind: 'errno', errno: 'ENOMEM' })).toContain('Release')
  expect(explain('read', { kind: 'ok', value: 0 })).toBe('')
})

it('says what only a hypervisor below the host refuses', () => {
  expect(explain('punch', { kind: 'errno', errno: 'EACCES' })).toContain('reclaim')
  expect(explain('convert', { kind: 'errno', errno: 'EOPNOTSUPP' })).toContain('unshares')
  const lent = { kind: 'signal', signal: 'SIGBUS', code: 'BUS_OBJERR' } as const
  expect(explain('read', lent)).toContain('stage 2')
})
