// Generated calls on memslots.

import { type CaseBuilder, type Chooser, edge, PAGE, type Word } from './case-builder.ts'

/** A slot's size: sizes whose dirty bitmap or tables would be large are left out. */
const sizeOf = (choose: Chooser, dirty: boolean): Word => {
  if (choose.oneIn(14)) return choose.of([1, 4097, '0xfffffffffffff000', '0x8000000000000000', 2 ** 43])
  if (!dirty && choose.oneIn(30)) return 2 ** 32
  return choose.of([1, 1, 2, 4, 4, 8, 16]) * PAGE
}

export const slotCall = (builder: CaseBuilder): void => {
  const { choose } = builder
  const vm = choose.oneIn(40) ? choose.of(['kvm', 'g0', 'vm9', -1]) : choose.of(builder.vms)
  const slot = choose.oneIn(20)
    ? choose.of([0x10000, 0x10001, 32763, 32764, 32765, 65535, 0x20000, -1])
    : choose.below(5)
  if (choose.oneIn(5)) {
    builder.step('set_user_memory_region2', {
      vm,
      slot,
      flags: 0,
      gpa: 0,
      size: 0,
      uaddr: null,
      fd: -1,
      offset: 0,
    })
    return
  }
  const withFile = choose.oneIn(2)
  const flags = choose.oneIn(10)
    ? choose.bits([1, 2, 4, 8, 16, 2 ** 31], 3) >>> 0
    : withFile
      ? 4
      : choose.of([0, 0, 1, 2, 3])
  const gpa = choose.oneIn(12) ? edge(choose) : choose.below(10) * 8 * PAGE
  const size = sizeOf(choose, (flags & 1) !== 0)
  const mapped = builder.maps.length > 0 && choose.oneIn(4)
  const anon = mapped ? `map:${choose.of(builder.maps).name}` : `anon:${choose.of(builder.anons).name}`
  const uaddr = choose.oneIn(10)
    ? choose.of<Word | null>([null, edge(choose), `${anon}+1`, `${anon}+2048`])
    : choose.oneIn(4) && withFile
      ? null
      : `${anon}${choose.oneIn(3) ? `+${PAGE * choose.below(16)}` : ''}`
  if (!withFile && choose.oneIn(2)) {
    builder.step('set_user_memory_region', { vm, slot, flags, gpa, size, uaddr })
    return
  }
  const files = [...builder.gmems, ...builder.others].map(({ name }) => name)
  builder.step('set_user_memory_region2', {
    vm,
    slot,
    flags,
    gpa,
    size,
    uaddr,
    fd: withFile
      ? choose.oneIn(20)
        ? choose.of(['kvm', 'vm0', 'g99', -1, 2147483647])
        : choose.of(files)
      : -1,
    offset: choose.oneIn(12) ? edge(choose) : choose.below(20) * PAGE,
    ...(choose.oneIn(20) ? { pad1: choose.of([1, 4294967295]) } : {}),
    ...(choose.oneIn(20) ? { pad2: [0, 1, '0xffffffffffffffff', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7] } : {}),
  })
}
