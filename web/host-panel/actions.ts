// What a person can make the host do to guest memory: one list feeds the panel and the palette.

import type { CompactionReport, HostResult, MachineApi } from '../../core/machine/api.ts'
import { count, hex, bytes as sizeText } from '../app/format.ts'
import { hexdump } from '../inspector/hexdump.ts'
import type { HostCall } from './explain.ts'

/** What an action acts on. */
export interface HostTarget {
  readonly gpa: number
  /** Bytes. */
  readonly size: number
  readonly data: Uint8Array
}

export interface HostAction {
  /** Also the end of its test id, `host-…`. */
  readonly id: string
  readonly call: HostCall
  /** Buttons of one group stand together. */
  readonly group: 'bytes' | 'convert' | 'file' | 'reference' | 'host'
  readonly title: string
  /** What it does, in a line. */
  readonly hint: string
  /** Its title in the palette, for the selected page. */
  readonly command: string
  /** The part of the target that it needs. */
  readonly needs: 'page' | 'range' | 'nothing'
  readonly what: (target: HostTarget) => string
  /** Answers with the result as text. */
  readonly run: (api: MachineApi, target: HostTarget) => Promise<HostResult<string>>
}

/** What one read shows. */
const READ_BYTES = 64

const range = ({ gpa, size }: HostTarget): string => `${sizeText(size)} at ${hex(gpa)}`

/** The call's result with its value as text. */
const said = async <T>(
  call: Promise<HostResult<T>>,
  text: (value: T) => string,
): Promise<HostResult<string>> => {
  const result = await call
  return result.kind === 'ok' ? { kind: 'ok', value: text(result.value) } : result
}

const returned = (value: number): string => `returned ${value}`
const frame = (pfn: number): string => `pfn ${hex(pfn)}`
const drained = (references: number): string =>
  `${count(references)} ${references === 1 ? 'reference' : 'references'} given back`

const compacted = ({ scanned, migrated, refused, kinds }: CompactionReport): string =>
  [
    `${count(scanned)} frames scanned, ${count(migrated)} moved, ${count(refused)} stay`,
    ...kinds.map(
      (row) =>
        `${row.kind}: ${count(row.migrated)} moved${row.refused ? `, ${count(row.refused)} stay: ${row.why}` : ''}`,
    ),
  ].join('\n')

export const hostActions: readonly HostAction[] = [
  {
    id: 'read',
    call: 'read',
    group: 'bytes',
    title: 'Read',
    hint: 'The VMM loads bytes of the guest page through its own mapping.',
    command: 'Read the selected page, as the host',
    needs: 'page',
    what: ({ gpa }) => `load ${READ_BYTES} bytes at ${hex(gpa)}`,
    run: (api, { gpa }) => said(api.hostRead(gpa, READ_BYTES), hexdump),
  },
  {
    id: 'write',
    call: 'write',
    group: 'bytes',
    title: 'Write',
    hint: 'The VMM stores the bytes through its own mapping.',
    command: 'Write to the selected page, as the host',
    needs: 'page',
    what: ({ gpa }) => `store at ${hex(gpa)}`,
    run: (api, { gpa, data }) => said(api.hostWrite(gpa, data), (written) => `${written} bytes written`),
  },
  {
    id: 'to-shared',
    call: 'convert',
    group: 'convert',
    title: 'To shared',
    hint: 'Sets the memory attributes behind the guest’s back: shared.',
    command: 'Convert the selected page to shared, as the host',
    needs: 'range',
    what: (target) => `set attributes, ${range(target)}: shared`,
    run: (api, { gpa, size }) => said(api.hostConvert(gpa, size, false), returned),
  },
  {
    id: 'to-private',
    call: 'convert',
    group: 'convert',
    title: 'To private',
    hint: 'Sets the memory attributes behind the guest’s back: private.',
    command: 'Convert the selected page to private, as the host',
    needs: 'range',
    what: (target) => `set attributes, ${range(target)}: private`,
    run: (api, { gpa, size }) => said(api.hostConvert(gpa, size, true), returned),
  },
  {
    id: 'allocate',
    call: 'allocate',
    group: 'file',
    title: 'Allocate',
    hint: 'fallocate() on the guest_memfd: folios for the range, ahead of any touch.',
    command: 'Allocate the selected page',
    needs: 'range',
    what: (target) => `fallocate, allocate ${range(target)}`,
    run: (api, { gpa, size }) => said(api.hostAllocate(gpa, size), returned),
  },
  {
    id: 'punch',
    call: 'punch',
    group: 'file',
    title: 'Punch hole',
    hint: 'fallocate() on the guest_memfd: the range’s folios are freed, its contents lost.',
    command: 'Punch a hole at the selected page',
    needs: 'range',
    what: (target) => `fallocate, punch ${range(target)}`,
    run: (api, { gpa, size }) => said(api.hostPunchHole(gpa, size), returned),
  },
  {
    id: 'pin',
    call: 'pin',
    group: 'reference',
    title: 'Pin',
    hint: 'vmsplice() of the VMM’s mapping into a pipe: a reference to the page that stays until it is unpinned.',
    command: 'Pin the selected page',
    needs: 'page',
    what: ({ gpa }) => `vmsplice, pin ${hex(gpa)}`,
    run: (api, { gpa }) => said(api.hostPin(gpa), frame),
  },
  {
    id: 'unpin',
    call: 'unpin',
    group: 'reference',
    title: 'Unpin',
    hint: 'Reads the pipe empty, which drops the reference.',
    command: 'Unpin the selected page',
    needs: 'page',
    what: ({ gpa }) => `read the pipe, unpin ${hex(gpa)}`,
    run: (api, { gpa }) => said(api.hostUnpin(gpa), returned),
  },
  {
    id: 'poison',
    call: 'poison',
    group: 'reference',
    title: 'Poison',
    hint: 'memory_failure() of the frame behind the page, as after an uncorrectable memory error: its contents are lost.',
    command: 'Poison the selected page (memory failure)',
    needs: 'page',
    what: ({ gpa }) => `memory_failure at ${hex(gpa)}`,
    run: (api, { gpa }) => said(api.hostPoison(gpa), frame),
  },
  {
    id: 'drain',
    call: 'drain',
    group: 'host',
    title: 'Drain LRU',
    hint: 'lru_add_drain_all(): every processor’s LRU batches give their references back.',
    command: 'Drain the host’s LRU batches',
    needs: 'nothing',
    what: () => 'lru_add_drain_all',
    run: (api) => said(api.hostDrain(), drained),
  },
  {
    id: 'compact',
    call: 'compact',
    group: 'host',
    title: 'Compact',
    hint: 'Compaction of host memory: moves what may move, and leaves what refuses.',
    command: 'Compact host memory',
    needs: 'nothing',
    what: () => 'compact host memory',
    run: async (api) => ({ kind: 'ok', value: compacted(await api.hostCompact()) }),
  },
]
