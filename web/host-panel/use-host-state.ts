// The host's state, kept fresh: what is pinned and poisoned, who holds how much of its memory.

import type { HostState } from '../../core/machine/api.ts'
import { useFresh } from '../app/use-fresh.ts'

const PACE = { least: 300, most: 2_000 }

export const useHostState = (): HostState | null => useFresh('host', (api) => api.hostState(), PACE)
