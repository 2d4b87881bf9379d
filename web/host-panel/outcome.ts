// What came of one thing that the host process was made to do.

/** How many are kept. */
export const KEPT_OUTCOMES = 50

export interface Outcome {
  readonly id: number
  readonly what: string
  readonly failed: boolean
  readonly result: string
  /** What it means and, where there is one, the remedy. */
  readonly why: string
  /** The page (GPA) at which it failed, where the kernel says. */
  readonly gpa: number | null
}
