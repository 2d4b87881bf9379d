// NUMA memory policies: on which node memory is taken (mm/mempolicy.c, v7.2), and the three system calls about them.
//
// Every CPU of this host is on node 0, so "local" is node 0 and a node that is full falls back on the other.

import { KernelError } from '../base/errno.ts'
import { RangeMap } from '../base/range-map.ts'
import { isPageAligned, U64_PAGES } from '../base/u64.ts'
import { PAGE_SIZE } from '../base/units.ts'
import type { OpenFile } from './file.ts'
import type { Host } from './host.ts'
import type { KernelTask } from './kernel-task.ts'
import type { Process } from './process.ts'
import { copyFromUser, type UserArgument } from './user-argument.ts'
import { fileIndexAt, policyOf, type Vma } from './vma.ts'

/** Modes (uapi/linux/mempolicy.h). */
export const Mpol = {
  DEFAULT: 0,
  PREFERRED: 1,
  BIND: 2,
  INTERLEAVE: 3,
  LOCAL: 4,
  PREFERRED_MANY: 5,
  WEIGHTED_INTERLEAVE: 6,
} as const
const MPOL_MAX = 7

/** Flags in the mode argument. */
export const MpolMode = { NUMA_BALANCING: 1 << 13, RELATIVE_NODES: 1 << 14, STATIC_NODES: 1 << 15 } as const
const MODE_FLAGS = MpolMode.NUMA_BALANCING | MpolMode.RELATIVE_NODES | MpolMode.STATIC_NODES
/** The mask of nodes the caller named is kept as it was. */
const USER_NODES = MpolMode.STATIC_NODES | MpolMode.RELATIVE_NODES

/** Flags of mbind. */
export const MpolMove = { STRICT: 1, MOVE: 2, MOVE_ALL: 4 } as const
/** Flags of get_mempolicy. */
export const MpolGet = { NODE: 1, ADDR: 2, MEMS_ALLOWED: 4 } as const

const LOCAL_NODE = 0
/** Node numbers the kernel is built for (CONFIG_NODES_SHIFT 10, as distributions have it). */
const MAX_NUMNODES = 1024

/** A policy; null stands for MPOL_DEFAULT. Node sets are bit masks. */
export interface Mempolicy {
  readonly mode: number
  /** MpolMode bits. */
  readonly flags: number
  /** Nodes it speaks of, of those there are. */
  readonly nodes: number
  /** Nodes as the caller named them. */
  readonly userNodes: number
}

/** Policies of a file's pages, shared by all who map it (struct shared_policy). */
export class SharedPolicy {
  readonly #ranges: RangeMap<Mempolicy | null>

  constructor(pages: number) {
    this.#ranges = new RangeMap<Mempolicy | null>(pages, null)
  }

  get(index: number): Mempolicy | null {
    return index < this.#ranges.end ? this.#ranges.get(index) : null
  }

  /** Pages past the end of the file have no policy. */
  set(start: number, end: number, policy: Mempolicy | null): void {
    this.#ranges.store(start, Math.min(end, this.#ranges.end), policy)
  }
}

/** Which page of an interleave an allocation is; null: the task's next turn (NO_INTERLEAVE_INDEX). */
export type InterleaveIndex = number | null

/** What a page frame is taken for: the columns of its row in the folio table. */
export interface FrameUse {
  readonly type: number
  readonly owner: number
  readonly index: number
}

/** folio_alloc_mpol: a block where the policy wants it, or where memory is left; -1: none (ENOMEM). */
export const allocByPolicy = (
  host: Host,
  task: Process,
  policy: Mempolicy,
  interleave: InterleaveIndex,
  order: number,
  { type, owner, index }: FrameUse,
): number => {
  const { buddy } = host
  switch (policy.mode) {
    case Mpol.PREFERRED:
      return buddy.tryAlloc(order, type, owner, index, firstNode(policy.nodes))
    case Mpol.BIND:
      return buddy.tryAlloc(order, type, owner, index, LOCAL_NODE, policy.nodes)
    case Mpol.PREFERRED_MANY: {
      const pfn = buddy.tryAlloc(order, type, owner, index, LOCAL_NODE, policy.nodes)
      return pfn >= 0 ? pfn : buddy.tryAlloc(order, type, owner, index, LOCAL_NODE)
    }
    case Mpol.INTERLEAVE:
    case Mpol.WEIGHTED_INTERLEAVE: {
      const node = interleave === null ? task.nextInterleaveNode(policy) : nthNode(policy.nodes, interleave)
      return buddy.tryAlloc(order, type, owner, index, node)
    }
    default:
      return buddy.tryAlloc(order, type, owner, index, LOCAL_NODE)
  }
}

const firstNode = (nodes: number): number => 31 - Math.clz32(nodes & -nodes)

const weight = (nodes: number): number => {
  let count = 0
  for (let left = nodes; left; left &= left - 1) count++
  return count
}

/** The node of page `index` of an interleave (weights of a weighted one are all 1). */
const nthNode = (nodes: number, index: number): number => {
  let left = nodes
  for (let i = index % weight(nodes); i > 0; i--) left &= left - 1
  return firstNode(left)
}

/** The node after `previous` in a set, going round (next_node_in). */
export const nextNodeIn = (previous: number, nodes: number): number => {
  const after = previous >= 31 ? 0 : nodes & (-1 << (previous + 1))
  return firstNode(after || nodes)
}

const nodesOf = (host: Host): number => (host.buddy.nodes === 1 ? 1 : 3)

/** sanitize_mpol_flags: mode and its flags apart, or EINVAL. */
const splitMode = (argument: number): { mode: number; flags: number } => {
  const flags = argument & MODE_FLAGS
  const mode = (argument & ~MODE_FLAGS) >>> 0
  if (mode >= MPOL_MAX) throw new KernelError('EINVAL')
  if ((flags & USER_NODES) === USER_NODES) throw new KernelError('EINVAL')
  if (flags & MpolMode.NUMA_BALANCING && mode !== Mpol.BIND && mode !== Mpol.PREFERRED_MANY)
    throw new KernelError('EINVAL')
  return { mode, flags }
}

/**
 * get_nodes: the mask of `maxNode - 1` bits at `argument` (0: NULL, an empty set). EINVAL: longer than a page, or a
 * node beyond those the kernel is built for; EFAULT. Nodes from 31 on, which this host cannot have, come back as bit 31.
 */
function* readNodes(process: Process, argument: UserArgument, maxNode: number): KernelTask<number> {
  const bits = maxNode - 1
  if (bits === 0 || argument === 0) return 0
  if (bits < 0 || bits > PAGE_SIZE * 8) throw new KernelError('EINVAL')
  const view = yield* copyFromUser(process, argument, Math.ceil(bits / 64) * 8)
  let nodes = 0
  for (let node = 0; node < bits; node++) {
    if (!(view.getUint8(node >> 3) & (1 << (node & 7)))) continue
    if (node >= MAX_NUMNODES) throw new KernelError('EINVAL')
    nodes |= 1 << Math.min(node, 31)
  }
  return nodes
}

/** mpol_new and mpol_set_nodemask. EINVAL: a set of nodes where none may be, or none where one must. */
const makePolicy = (host: Host, mode: number, flags: number, userNodes: number): Mempolicy | null => {
  if (mode === Mpol.DEFAULT) {
    if (userNodes) throw new KernelError('EINVAL')
    return null
  }
  if (mode === Mpol.LOCAL || (mode === Mpol.PREFERRED && !userNodes)) {
    if (userNodes || flags & USER_NODES) throw new KernelError('EINVAL')
    return { mode: Mpol.LOCAL, flags, nodes: 0, userNodes: 0 }
  }
  if (!userNodes) throw new KernelError('EINVAL')
  const online = nodesOf(host)
  const nodes = flags & MpolMode.RELATIVE_NODES ? foldOnto(userNodes, online) : userNodes & online
  if (!nodes) throw new KernelError('EINVAL')
  return { mode, flags, nodes: mode === Mpol.PREFERRED ? nodes & -nodes : nodes, userNodes }
}

/** mpol_relative_nodemask: the set's numbers count the nodes there are, going round. */
const foldOnto = (relative: number, online: number): number => {
  const count = weight(online)
  let nodes = 0
  for (let node = 0; node < 32; node++)
    if (relative & (1 << node)) nodes |= 1 << nthNode(online, node % count)
  return nodes
}

/** set_mempolicy(2). EINVAL, EFAULT. */
export function* setMempolicy(
  process: Process,
  modeArgument: number,
  nodesArgument: UserArgument,
  maxNode: number,
): KernelTask<number> {
  const { mode, flags } = splitMode(modeArgument)
  const nodes = yield* readNodes(process, nodesArgument, maxNode)
  process.setPolicy(makePolicy(process.host, mode, flags, nodes))
  return 0
}

/** mbind(2); lengths are rounded up to pages. */
export interface MbindRequest {
  readonly start: number
  readonly length: number
  readonly mode: number
  /** 0: NULL. */
  readonly nodes: UserArgument
  readonly maxNode: number
  /** MpolMove bits. */
  readonly flags: number
}

/**
 * do_mbind. EINVAL, EPERM (MOVE_ALL without privilege), EFAULT (a hole), EIO (STRICT, and a page lies elsewhere: the
 * policy is not set then, unless MOVE was asked too). Pages stay where they are: MOVE finds none that it may move.
 */
export function* mbind(process: Process, request: MbindRequest): KernelTask<number> {
  const { mode, flags } = splitMode(request.mode)
  const nodes = yield* readNodes(process, request.nodes, request.maxNode)
  if (request.flags & ~(MpolMove.STRICT | MpolMove.MOVE | MpolMove.MOVE_ALL)) throw new KernelError('EINVAL')
  if (request.flags & MpolMove.MOVE_ALL && !process.privileged) throw new KernelError('EPERM')
  if (!isPageAligned(request.start)) throw new KernelError('EINVAL')
  const { start } = request
  const end = start + Math.ceil(request.length / PAGE_SIZE) * PAGE_SIZE
  if (end / PAGE_SIZE >= U64_PAGES) throw new KernelError('EINVAL')
  if (end === start) return 0
  const policy = makePolicy(process.host, mode, flags, nodes)
  const strict = mode !== Mpol.DEFAULT && (request.flags & MpolMove.STRICT) !== 0
  const files: OpenFile[] = []
  yield* process.mmapLock.writeLock()
  try {
    const vmas = wholeRange(process, start, end)
    const misplaced = strict && pagesElsewhere(process, start, end, policy?.nodes ?? 0)
    if (misplaced && request.flags === MpolMove.STRICT) throw new KernelError('EIO')
    for (const vma of vmas)
      files.push(...setRange(process, vma, Math.max(start, vma.start), Math.min(end, vma.end), policy))
    if (misplaced) throw new KernelError('EIO')
  } finally {
    process.mmapLock.writeUnlock()
    for (const file of files) yield* file.put()
  }
  return 0
}

/** The mappings of a range without holes, or EFAULT. */
const wholeRange = (process: Process, start: number, end: number): Vma[] => {
  const vmas = process.vmas.within(start, end)
  let at = start
  for (const vma of vmas) {
    if (vma.start > at) throw new KernelError('EFAULT')
    at = vma.end
  }
  if (at < end) throw new KernelError('EFAULT')
  return vmas
}

const pagesElsewhere = (process: Process, start: number, end: number, nodes: number): boolean => {
  let found = false
  process.pages.forEach(start / PAGE_SIZE, end / PAGE_SIZE, (_page, pfn) => {
    if (!(nodes & (1 << process.host.buddy.nodeOf(pfn)))) found = true
  })
  return found
}

/** vma_replace_policy: the file's policy, where it keeps one (even through a private mapping), and the mapping's own. */
const setRange = (
  process: Process,
  vma: Vma,
  start: number,
  end: number,
  policy: Mempolicy | null,
): OpenFile[] => {
  const first = fileIndexAt(vma, start)
  vma.file?.sharedPolicy?.set(first, first + (end - start) / PAGE_SIZE, policy)
  return process.vmas.change(start, end, { policy })
}

/** What get_mempolicy stores: a mode with its flags (or a node number), and a set of nodes. */
export interface MempolicyAnswer {
  readonly policy: number
  readonly nodes: number
}

/** get_mempolicy(2). `maxNode` null: no mask is asked for. EINVAL, EFAULT. */
export function* getMempolicy(
  process: Process,
  maxNode: number | null,
  address: number,
  flags: number,
): KernelTask<MempolicyAnswer> {
  const { host } = process
  if (maxNode !== null && maxNode < host.buddy.nodes) throw new KernelError('EINVAL')
  if (flags & ~(MpolGet.NODE | MpolGet.ADDR | MpolGet.MEMS_ALLOWED)) throw new KernelError('EINVAL')
  if (flags & MpolGet.MEMS_ALLOWED) {
    if (flags & (MpolGet.NODE | MpolGet.ADDR)) throw new KernelError('EINVAL')
    return { policy: 0, nodes: nodesOf(host) }
  }
  let policy = process.policy
  if (flags & MpolGet.ADDR) policy = yield* policyAt(process, address)
  else if (address) throw new KernelError('EINVAL')
  const nodes = policy ? (policy.flags & USER_NODES ? policy.userNodes : policy.nodes) : 0
  if (!(flags & MpolGet.NODE)) return { policy: policy ? policy.mode | policy.flags : Mpol.DEFAULT, nodes }
  if (flags & MpolGet.ADDR) {
    // lookup_node: faults the page in, as a load would.
    const { pfn } = yield* process.pin(address, false)
    host.buddy.put(pfn)
    return { policy: host.buddy.nodeOf(pfn), nodes }
  }
  if (policy?.mode !== Mpol.INTERLEAVE && policy?.mode !== Mpol.WEIGHTED_INTERLEAVE)
    throw new KernelError('EINVAL')
  return { policy: nextNodeIn(process.interleavePrevious, policy.nodes), nodes }
}

/** The policy of an address, not the task's where there is none. EFAULT: not mapped. */
function* policyAt(process: Process, address: number): KernelTask<Mempolicy | null> {
  yield* process.mmapLock.readLock()
  const vma = process.vmas.find(address)
  process.mmapLock.readUnlock()
  if (!vma) throw new KernelError('EFAULT')
  return policyOf(vma, address)
}
