// What the Resource Manager answers a call.

import { RmError } from './error.ts'

export interface Reply {
  readonly error: RmError
  /** Empty when the call failed. */
  readonly payload: Uint8Array
}

const NOTHING = new Uint8Array(0)

export const success = (payload: Uint8Array = NOTHING): Reply => ({ error: RmError.OK, payload })
export const failure = (error: RmError): Reply => ({ error, payload: NOTHING })
