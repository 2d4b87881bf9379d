// The layering rule fires on a violation at every boundary, and on nothing else (docs/SPEC.md, A1 and A2).
import { describe, expect, test } from 'vitest'
import { CORE_LAYERS, violations } from './layers.mjs'

const importing = (target: string) => `import { x } from '${target}'\n`
const ranked = CORE_LAYERS.flatMap((names, rank) => names.map((name) => ({ name, rank })))
const pairs = ranked.flatMap((from) =>
  ranked.filter((to) => to.name !== from.name).map((to) => ({ from, to })),
)

describe('A1: imports of core/ only go down', () => {
  test.each(pairs.filter(({ from, to }) => to.rank <= from.rank))(
    '$from.name must not import $to.name',
    ({ from, to }) => {
      const target = `core/${to.name}/x.ts`
      expect(violations(`core/${from.name}/y.ts`, importing(`../${to.name}/x.ts`))).toEqual([
        `core/${from.name}/y.ts imports ${target}`,
      ])
      expect(violations(`core/${from.name}/deep/y.ts`, importing(`../../${to.name}/x.ts`))).toHaveLength(1)
      expect(violations(`core/${from.name}/y.test.ts`, importing(`../${to.name}/x.ts`))).toHaveLength(1)
    },
  )

  test.each(pairs.filter(({ from, to }) => to.rank > from.rank))(
    '$from.name may import $to.name',
    ({ from, to }) => {
      expect(violations(`core/${from.name}/y.ts`, importing(`../${to.name}/x.ts`))).toEqual([])
    },
  )

  test('kvm and gunyah never import each other', () => {
    expect(violations('core/kvm/vm.ts', importing('../gunyah/vm.ts'))).toHaveLength(1)
    expect(violations('core/gunyah/vm.ts', importing('../kvm/vm.ts'))).toHaveLength(1)
  })

  test('a folder of core/ that is no layer may not import anything', () => {
    expect(violations('core/misc/a.ts', importing('../base/units.ts'))).toHaveLength(1)
  })
})

describe('A2: who may import what around core/', () => {
  test.each([
    ['core/machine/a.ts', '../../worker/pump.ts'],
    ['core/machine/a.ts', '../../web/app/store.ts'],
    ['core/base/a.ts', 'comlink'],
    ['core/base/a.ts', 'node:fs'],
    ['worker/pump.ts', '../web/app/store.ts'],
    ['worker/pump.ts', 'node:worker_threads'],
    ['web/app/store.ts', '../../core/kvm/uapi.ts'],
    ['web/app/store.ts', '../../core/host/layout.ts'],
    ['web/app/store.ts', '../../worker/hypervisor.worker.ts'],
    ['web/app/store.ts', 'node:fs'],
  ])('%s must not import %s', (file, target) => {
    expect(violations(file, importing(target))).toHaveLength(1)
  })

  test.each([
    ['core/base/a.test.ts', 'vitest'],
    ['core/devices/testing/hammer.ts', 'node:worker_threads'],
    ['worker/pump.ts', '../core/machine/machine.ts'],
    ['worker/pump.ts', 'comlink'],
    ['worker/node/headless.ts', 'node:fs'],
    ['web/app/store.ts', '../../core/machine/view.ts'],
    ['web/app/store.ts', '../../core/trace/events.ts'],
    ['web/app/store.ts', '../console/pane.tsx'],
    ['web/app/store.ts', 'zustand'],
    ['scripts/vectors.ts', '../core/kvm/uapi.ts'],
  ])('%s may import %s', (file, target) => {
    expect(violations(file, importing(target))).toEqual([])
  })

  test.each([
    `import '../kvm/a.ts'`,
    `import type { A } from '../kvm/a.ts'`,
    `import {\n  a,\n} from "../kvm/a.ts"`,
    `export * from '../kvm/a.ts'`,
    `const a = await import('../kvm/a.ts')`,
    `let a: import('../kvm/a.ts').A`,
  ])('every form of import counts: %s', (text) => {
    expect(violations('core/gmem/a.ts', text)).toEqual(['core/gmem/a.ts imports core/kvm/a.ts'])
  })

  test('comments, strings and a worker made from a URL do not', () => {
    const text = [
      `// import '../kvm/a.ts'`,
      `/* export * from '../kvm/a.ts' */`,
      `const names = ['from', 'to']`,
      `table.import('env', 'memory')`,
      `new Worker(new URL('../kvm/a.ts', import.meta.url))`,
    ]
    expect(violations('core/gmem/a.ts', text.join('\n'))).toEqual([])
  })
})
