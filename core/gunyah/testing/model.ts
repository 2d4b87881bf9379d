// An independent model of who has which frame: what the random tests hold the hypervisor and the RM against.
//
// It knows single frames only: the host has it; one VM has it for itself, lent or donated; or VMs share it. And of
// each VM, where it is mapped.

import { expect } from 'vitest'
import type { Pfn } from '../../base/units.ts'
import { PG } from '../../host/folio-table.ts'
import { ExtentLabel, UNMAPPED } from '../hyp/memextent.ts'
import type { setUp } from './below.ts'

type Below = ReturnType<typeof setUp>

export interface ModelFrame {
  /** The VM that has it for itself, or null. */
  owner: number | null
  donated: boolean
  /** VMs that share it. */
  readonly sharers: Set<number>
  /** VM -> gfn. */
  readonly mapped: Map<number, number>
  /** First byte, as the host last saw it written. */
  byte: number
}

export const freshFrame = (): ModelFrame => ({
  owner: null,
  donated: false,
  sharers: new Set(),
  mapped: new Map(),
  byte: 0x5a,
})

/** Everything a test can see of `frames`, compared with the model. */
export const expectAgreement = (
  below: Below,
  first: Pfn,
  model: readonly ModelFrame[],
  vmids: readonly number[],
): void => {
  const { hypervisor, memory } = below
  const seen = model.map((_, i) => {
    const pfn = (first + i) as Pfn
    const sharers = vmids.filter((vmid) => hypervisor.vm(vmid)?.extents[ExtentLabel.guestShared].frame(pfn))
    const privately = vmids.filter((vmid) =>
      hypervisor.vm(vmid)?.extents[ExtentLabel.guestPrivate].frame(pfn),
    )
    const mapped = vmids.flatMap((vmid) => {
      const gfns: number[] = []
      hypervisor.vm(vmid)?.space?.stage2.forEachLeaf((gfn, at) => {
        if (at === pfn) gfns.push(gfn)
      })
      return gfns.map((gfn) => [vmid, gfn])
    })
    return {
      owner: hypervisor.privateTo(pfn)?.vmid ?? null,
      privately,
      sharers,
      mapped,
      host: hypervisor.hostAccess(pfn, true),
      lent: memory.folios.has(pfn, PG.lent),
      guestMapcount: memory.folios.guestMapcount[pfn],
      byte: memory.frame(pfn)[0],
    }
  })
  expect(seen).toEqual(
    model.map(({ owner, sharers, mapped, byte }) => ({
      owner,
      privately: owner === null ? [] : [owner],
      sharers: vmids.filter((vmid) => sharers.has(vmid)),
      mapped: vmids.flatMap((vmid) => (mapped.has(vmid) ? [[vmid, mapped.get(vmid) ?? UNMAPPED]] : [])),
      host: owner === null,
      lent: owner !== null,
      guestMapcount: mapped.size,
      byte,
    })),
  )
}
