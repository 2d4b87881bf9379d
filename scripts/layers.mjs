// Checks that imports only go down (docs/architecture.md). `npm run lint` runs it over the whole tree.
// A linter's import patterns see specifiers; this resolves them to folders, so one small table says it all.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Layers of core/, highest first. A layer imports itself and what stands below; peers never import each other. */
export const CORE_LAYERS = [
  ['machine'],
  ['vmm'],
  ['devices'],
  ['kvm', 'gunyah'],
  ['gmem', 'hart'],
  ['host'],
  ['engine'],
  ['riscv'],
  ['trace'],
  ['base'],
]

/**
 * @typedef {object} Allowance
 * @property {string[]} folders folders from the repository's root
 * @property {(name: string) => boolean} package whether a package, or a module of Node's, may be imported
 */

/**
 * Folders outside core/ that are bound, with the folders they may import besides their own.
 * The page reaches a worker by `new Worker(new URL(...))`, which is no import.
 * @type {Record<string, string[]>}
 */
export const OUTER_LAYERS = {
  worker: ['core'],
  web: ['core/machine', 'core/trace', 'core/base'],
}

const SOURCE = /\.(ts|tsx|mts|mjs)$/
const TEST = /(\.test\.tsx?$|\/testing\/)/
/** `import x from 'a'`, `export * from 'a'`, `import 'a'`, `import('a')`. */
const IMPORT = /(?<![.'"])\b(?:from\s*|import\s*\(?\s*)['"]([^'"\n]+)['"]/g
const COMMENT = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm

/**
 * True when `path` is `folder` or lies in it.
 * @param {string} path
 * @param {string} folder
 */
const within = (path, folder) => path === folder || path.startsWith(`${folder}/`)

/**
 * What `file` may import; undefined where nothing is bound (scripts, bench, e2e).
 * @param {string} file
 * @returns {Allowance | undefined}
 */
function allowance(file) {
  const [top, layer] = file.split('/')
  const test = TEST.test(file)
  if (top === 'core') {
    const rank = CORE_LAYERS.findIndex((names) => names.includes(layer))
    if (rank < 0) return { folders: [], package: () => false }
    const below = CORE_LAYERS.slice(rank + 1).flat()
    return {
      folders: [layer, ...below].map((name) => `core/${name}`),
      package: () => test,
    }
  }
  const below = OUTER_LAYERS[top]
  if (!below) return undefined
  const node = test || within(file, 'worker/node')
  return { folders: [top, ...below], package: (name) => node || !name.startsWith('node:') }
}

/**
 * The imports of one source file that break the layering.
 * @param {string} file path from the repository's root, with forward slashes
 * @param {string} text its source
 * @returns {string[]} one line per violation: `core/gmem/a.ts imports core/kvm/vm.ts`
 */
export function violations(file, text) {
  const allowed = allowance(file)
  if (!allowed) return []
  const found = []
  for (const [, specifier] of text.replace(COMMENT, '').matchAll(IMPORT)) {
    const local = specifier.startsWith('.')
    const target = local ? posix.join(posix.dirname(file), specifier) : specifier
    const fine = local ? allowed.folders.some((folder) => within(target, folder)) : allowed.package(specifier)
    if (!fine) found.push(`${file} imports ${target}`)
  }
  return found
}

/**
 * Source files below `root`/`folder`, as paths from `root` with forward slashes.
 * @param {string} root
 * @param {string} folder
 */
function sources(root, folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && SOURCE.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
  const files = ['core', ...Object.keys(OUTER_LAYERS)].flatMap((folder) => sources(root, folder))
  const broken = files.flatMap((file) => violations(file, readFileSync(join(root, file), 'utf8')))
  for (const line of broken) console.error(`layering: ${line}`)
  if (broken.length > 0) console.error('Imports only go down: docs/architecture.md, "Layers".')
  process.exitCode = broken.length > 0 ? 1 : 0
}
