// What the page needs of its browser and its server.

import { hasWebGl2 } from '../gl/context.ts'

export interface Environment {
  /** SharedArrayBuffer is offered: the document is cross-origin isolated. */
  readonly isolated: boolean
  readonly webgl2: boolean
}

export const readEnvironment = (): Environment => ({
  isolated: globalThis.crossOriginIsolated === true,
  webgl2: hasWebGl2(),
})

/** The two headers that a server must send with the document. */
export const ISOLATION_HEADERS = [
  'Cross-Origin-Opener-Policy: same-origin',
  'Cross-Origin-Embedder-Policy: require-corp',
] as const
