// The page's build and servers, and the unit tests' runner.
import react from '@vitejs/plugin-react'
import { configDefaults, defineConfig } from 'vitest/config'

/**
 * Cross-origin isolation: without the first two headers browsers offer no SharedArrayBuffer; the third lets the
 * page's own assets pass the second. Every static host of the page must send them.
 */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
}

/** `npm run soak`: the long runs (*.soak.test.ts), and every property test with more and fresh samples. */
const soak = process.env.GMEMSCOPE_SOAK !== undefined

export default defineConfig({
  root: 'web',
  publicDir: '../public',
  // A missing file answers 404, not the page: a guest image must not turn out to be HTML.
  appType: 'mpa',
  plugins: [react()],
  server: { headers },
  preview: { headers },
  worker: { format: 'es' },
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: ['chrome112', 'firefox145', 'safari18.2'],
    // The page is one screen: splitting it would only add a round trip. Kilobytes.
    chunkSizeWarningLimit: 1500,
  },
  test: {
    root: '.',
    include: ['{core,worker,web,scripts,guest}/**/*.test.{ts,tsx}'],
    exclude: soak ? configDefaults.exclude : [...configDefaults.exclude, '**/*.soak.test.ts'],
    setupFiles: soak ? ['./scripts/soak-setup.ts'] : [],
    testTimeout: soak ? 30 * 60_000 : 30_000,
  },
})
