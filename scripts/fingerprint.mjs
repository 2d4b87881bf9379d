// Tells whether sources changed since something was built from them.
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Not sources of any build: tests, type-check settings, hidden files. */
const IGNORED = /^\.|\.test\.tsx?$|^tsconfig.*\.json$/

/**
 * A short hex digest of the names, sizes and modification times of every file below `paths`:
 * it differs after any edit, addition, removal or rename, in whatever order clocks run.
 * Missing paths count as empty.
 * @param {string} root folder that `paths` are relative to
 * @param {string[]} paths files and folders
 * @returns {string}
 */
export function fingerprint(root, paths) {
  const digest = createHash('sha256')
  /** @param {string} path */
  const visit = (path) => {
    const stat = lstatSync(join(root, path), { throwIfNoEntry: false })
    if (!stat) return
    if (!stat.isDirectory()) digest.update(`${path}\0${stat.size}\0${stat.mtimeMs}\n`)
    else
      for (const name of readdirSync(join(root, path)).sort())
        if (!IGNORED.test(name)) visit(`${path}/${name}`)
  }
  for (const path of paths) visit(path)
  return digest.digest('hex').slice(0, 16)
}
