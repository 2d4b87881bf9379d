// End-to-end tests: the built page, served as `npm start` serves it, in a real Chromium; a smoke test in Firefox
// where one is installed. `npm run e2e` finds or installs the browser first.
import { defineConfig, devices } from '@playwright/test'
import { CHROMIUM_INSTRUCTION, findChromium, findFirefox } from './scripts/browsers.mjs'

const port = Number(process.env.GMEMSCOPE_E2E_PORT ?? 4273)
const baseURL = `http://localhost:${port}/`

const chromium = findChromium()
if (!chromium) throw new Error(CHROMIUM_INSTRUCTION)

const soak = process.env.GMEMSCOPE_SOAK !== undefined

export default defineConfig({
  testDir: 'e2e',
  testMatch: soak ? '**/*.soak.spec.ts' : '**/*.spec.ts',
  testIgnore: soak ? [] : '**/*.soak.spec.ts',
  forbidOnly: Boolean(process.env.CI),
  // A test that needs a second try has found something. One at a time: a machine takes every core it gets.
  retries: 0,
  workers: 1,
  timeout: soak ? 30 * 60_000 : 60_000,
  outputDir: 'test-results',
  // Recording every test halves the machine's speed: `--trace on` records the ones that need a closer look.
  use: { baseURL, screenshot: 'only-on-failure' },
  projects: [
    {
      name: 'chromium',
      testIgnore: '**/firefox.spec.ts',
      use: {
        ...devices['Desktop Chrome'],
        viewport: { width: 1440, height: 900 },
        launchOptions: {
          executablePath: chromium,
          args: [
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            // WebGL2 on a computer without a graphics card.
            '--enable-unsafe-swiftshader',
          ],
        },
      },
    },
    ...(findFirefox() ? [{ name: 'firefox', testMatch: '**/firefox.spec.ts' }] : []),
  ],
  webServer: {
    command: `node scripts/start.mjs --port ${port} --strict-port --no-linux`,
    url: baseURL,
    timeout: 120_000,
    stdout: 'ignore',
    stderr: 'pipe',
  },
})
