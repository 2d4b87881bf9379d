// Long runs: every property test that leaves its number of samples to fast-check takes fifty times as many.
import { configureGlobal } from 'fast-check'

configureGlobal({ numRuns: 5000 })
