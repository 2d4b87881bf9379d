// The one owner of requestAnimationFrame: samples the shared tables, then lets the panes draw, once a frame.
//
// Listeners run in two phases, reads before writes. A frame in which nothing moved (tables, log, requests)
// costs a few atomic loads. A hidden tab gets no animation frames, so there a slow timer keeps the serial
// console drained and the guest unblocked.

export interface Frame {
  /** performance.now() of the frame. */
  readonly now: number
  /** Milliseconds since the last frame that ran. */
  readonly elapsed: number
  /** The shared tables moved, or somebody called invalidate(): the maps must be drawn again. */
  readonly changed: boolean
  /** The event log grew. It does so all the time while a guest runs, and no map shows it. */
  readonly logged: boolean
}

/** What a reader found: the half of a frame that it knows. */
export type Found = Pick<Frame, 'changed' | 'logged'>
/** Runs every frame, before drawing. */
export type Reader = (now: number, elapsed: number) => Found
/** Runs after the readers. */
export type Drawer = (frame: Frame) => void

const HIDDEN_TICK_MS = 250
/** Weight of the newest frame in the running mean. */
const SMOOTHING = 0.05

export class FrameScheduler {
  /** Running mean of the time that a frame which drew took on this thread, in milliseconds. */
  frameMs = 0
  readonly #readers = new Set<Reader>()
  readonly #drawers = new Set<Drawer>()
  #last = 0
  #invalid = true
  #running = false

  start(): void {
    if (this.#running) return
    this.#running = true
    this.#next()
  }

  /** Draw at the next frame even if no table moved (a view was zoomed, a pane resized). */
  invalidate(): void {
    this.#invalid = true
  }

  addReader(reader: Reader): () => void {
    this.#readers.add(reader)
    return () => this.#readers.delete(reader)
  }

  addDrawer(drawer: Drawer): () => void {
    this.#drawers.add(drawer)
    this.#invalid = true
    return () => this.#drawers.delete(drawer)
  }

  #next(): void {
    if (document.hidden) setTimeout(() => this.#frame(performance.now()), HIDDEN_TICK_MS)
    else requestAnimationFrame((now) => this.#frame(now))
  }

  #frame(now: number): void {
    this.#next()
    const elapsed = now - this.#last
    this.#last = now
    const start = performance.now()
    let changed = this.#invalid
    this.#invalid = false
    let logged = false
    for (const reader of this.#readers) {
      const found = reader(now, elapsed)
      changed ||= found.changed
      logged ||= found.logged
    }
    for (const drawer of this.#drawers) drawer({ now, elapsed, changed, logged })
    if (!changed) return
    const took = performance.now() - start
    this.frameMs += (took - this.frameMs) * SMOOTHING
  }
}
