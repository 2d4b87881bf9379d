// Runs a TypeScript program in Node: bundles it once, then starts the bundle while no source has changed.
// usage: node scripts/run.mjs ENTRY.ts [ARG ...]      (`npm run -s headless -- ARG ...` and its like)
//
// A bundle is a folder, .cache/node/ENTRY/FINGERPRINT/, flat inside: ENTRY is the entry's path with `/` as `-`
// and without `.ts` (worker/node/headless.ts -> worker-node-headless.mjs). Files named *.node.ts in
// worker/node are worker threads and are bundled with it under the same naming (worker/node/vcpu.node.ts ->
// worker-node-vcpu.node.mjs). Sources start them by their true name,
//     new Worker(new URL('./vcpu.node.ts', import.meta.url))
// and the bundler rewrites that URL to the bundled file's. Packages stay outside the bundle.
// The program finds the repository's root in $GMEMSCOPE_ROOT (import.meta.url is the bundle's, not the source's).
// Relative paths among its arguments are relative to the folder in which the user called npm.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fingerprint } from './fingerprint.mjs'
import { root, setup } from './setup.mjs'

/** What an entry can import, and what decides how it is built. */
const SOURCES = ['core', 'worker', 'scripts', 'bench', 'package-lock.json', 'tsconfig.base.json']

/** Where the worker threads' entries are; any program may start them. */
const THREADS = 'worker/node'

/** A bundle no longer current may still be running, and start workers late: it is kept this long (ms). */
const KEEP_MS = 24 * 3600 * 1000

/** @param {string} source path from the repository's root */
const bundledName = (source) => source.replace(/\.ts$/, '').replaceAll('/', '-')

/**
 * Path of the current bundle of `entry`, built first if there is none.
 * Safe to call from several processes at once: each builds apart, the first to finish puts its folder in place.
 * @param {string} entry path of a TypeScript file from the repository's root
 * @returns {Promise<string>}
 */
export async function bundle(entry) {
  const name = bundledName(entry)
  const shelf = join(root, '.cache', 'node', name)
  const folder = join(shelf, fingerprint(root, SOURCES))
  const file = join(folder, `${name}.mjs`)
  if (existsSync(file)) return file
  if (!existsSync(join(root, entry))) throw new Error(`no such entry: ${entry}`)

  setup()
  mkdirSync(shelf, { recursive: true })
  for (const old of readdirSync(shelf)) {
    const path = join(shelf, old)
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat && Date.now() - stat.mtimeMs > KEEP_MS) rmSync(path, { recursive: true, force: true })
  }
  const draft = join(shelf, `draft-${process.pid}`)
  try {
    await build(entry, draft)
    renameSync(draft, folder)
  } catch (error) {
    if (!existsSync(file)) throw error // else another process was first
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return file
}

/**
 * Bundles `entry` and the worker threads into `outDir`.
 * @param {string} entry
 * @param {string} outDir
 */
async function build(entry, outDir) {
  const { build: viteBuild } = await import('vite')
  const threads = readdirSync(join(root, THREADS)).filter((name) => name.endsWith('.node.ts'))
  const entries = [entry, ...threads.map((name) => `${THREADS}/${name}`)]
  await viteBuild({
    configFile: false,
    root,
    publicDir: false,
    tsconfig: join(root, 'tsconfig.base.json'),
    logLevel: 'error',
    plugins: [threadUrls],
    build: {
      ssr: true,
      outDir,
      target: 'node20',
      minify: false,
      rolldownOptions: {
        input: Object.fromEntries(entries.map((source) => [bundledName(source), join(root, source)])),
        output: { entryFileNames: '[name].mjs', chunkFileNames: 'chunk-[name].mjs' },
      },
    },
  })
}

/** `new URL('./x.node.ts', import.meta.url)` in a source names the bundled worker thread in the bundle. */
const threadUrls = {
  name: 'gmemscope:thread-urls',
  /**
   * @param {string} code
   * @param {string} id
   */
  transform(code, id) {
    if (!code.includes('.node.ts')) return undefined
    const folder = posix.relative(root, dirname(id))
    return code.replace(
      /new URL\(\s*(['"])(\.{1,2}\/[^'"]+\.node\.ts)\1\s*,\s*import\.meta\.url\s*\)/g,
      (_match, _quote, path) => `new URL('./${bundledName(posix.join(folder, path))}.mjs', import.meta.url)`,
    )
  },
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [entry, ...rest] = process.argv.slice(2)
  if (!entry) {
    console.error('usage: node scripts/run.mjs ENTRY.ts [ARG ...]')
    process.exit(2)
  }
  const file = await bundle(entry)
  const byNpm = process.env.npm_lifecycle_script?.includes('scripts/run.mjs') && process.cwd() === root
  if (byNpm && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD)
  process.env.GMEMSCOPE_ROOT = root
  process.argv = [process.argv[0], file, ...rest]
  await import(pathToFileURL(file).href)
}
