// Lines of the guest memory core and of what each hypervisor adds to it: the figures of docs/core-sharing.md.
// usage: node scripts/shared-lines.mjs
// Counts the sources as they are, without tests: all lines, and those that are neither blank nor comment.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/**
 * Sources of a folder.
 * @param {string} folder from core/
 * @param {string[]} [names] without .ts; all when left out
 */
const sources = (folder, names) =>
  names
    ? names.map((name) => join(root, 'core', folder, `${name}.ts`))
    : readdirSync(join(root, 'core', folder))
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
        .map((name) => join(root, 'core', folder, name))

const CHECKED = 'invariants'
const KVM_ONLY = ['convert', 'large-folio']
const core = sources('gmem').filter((path) => !path.endsWith(`/${CHECKED}.ts`))
const kvmOnly = new Set(sources('gmem', KVM_ONLY))

/** @type {[what: string, paths: string[]][]} */
const groups = [
  ['core/gmem, used by both', core.filter((path) => !kvmOnly.has(path))],
  ['core/gmem, used by KVM only: conversion in place, large folios', [...kvmOnly]],
  ['KVM: its operations, file calls, fault', sources('kvm', ['gmem', 'gmem-file', 'fault'])],
  [
    'KVM: memslots, attributes, invalidate sequence and the rest of its memory side',
    sources('kvm', [
      'attributes',
      'declared',
      'dirty-log',
      'invalidate',
      'map-page',
      'memslot',
      'memslots',
      'mmu-notifier',
      'page-states',
      'populate',
      'pre-fault',
      'srcu',
    ]),
  ],
  ['Gunyah: its operations, paging', sources('gunyah', ['guest-mem', 'paging'])],
  ['Gunyah: bindings, parcels, start', sources('gunyah', ['binding', 'map-mem', 'shared-parcels', 'start'])],
  [
    'Gunyah below Linux: the hypervisor’s memory, parcels of the Resource Manager',
    [
      ...sources('gunyah/hyp'),
      ...sources('gunyah/rm', ['borrower-calls', 'memory-calls', 'memory-messages', 'parcel', 'transfer']),
    ],
  ],
]

const COMMENT = /^\s*(\/\/|\/?\*)/

for (const [what, paths] of groups) {
  const lines = paths.flatMap((path) => readFileSync(path, 'utf8').trimEnd().split('\n'))
  const code = lines.filter((line) => line.trim() !== '' && !COMMENT.test(line))
  console.log(`| ${what} | ${paths.length} | ${lines.length} | ${code.length} |`)
}
