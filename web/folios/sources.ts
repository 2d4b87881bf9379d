// What the folio pane shows: for guest memory the two halves of each slot and every file, or all host frames.

import { bytes, hex } from '../app/format.ts'
import type { FolioTab } from '../app/store.ts'
import { gfnOfFileIndex, refOfPfn } from '../model/chain.ts'
import type { FileMaps, Sampler, SlotMaps } from '../model/sampler.ts'
import type { MapSource } from './page-map-view.tsx'

export interface TitledSource extends MapSource {
  readonly title: string
  readonly detail: string
  readonly half: 'private' | 'shared' | null
}

/** What the files are called: KVM's are guest_memfds, Gunyah's are guest memory of its own kind. */
const fileName = ({ underGunyah }: Sampler): string => (underGunyah ? 'gh-gmem' : 'guest_memfd')

const fileSource = (sampler: Sampler, { file, pages }: FileMaps): TitledSource => ({
  id: `gmem-${file.row}`,
  title: `${fileName(sampler)} ${file.ino}`,
  detail: `Inode ${file.ino}, ${bytes(file.size)}`,
  half: 'private',
  label: `Folios of ${fileName(sampler)} inode ${file.ino}, a page a cell`,
  map: pages,
  base: 0,
  refOf: (index) => {
    const gfn = gfnOfFileIndex(sampler, file.row, index)
    return gfn === null ? { pfn: pages.pfns[index] } : { gfn }
  },
  cellOf: (chain) => (chain.file?.file.row === file.row ? (chain.fileIndex ?? -1) : -1),
})

const hostSource = ({ slot, host }: SlotMaps): TitledSource => ({
  id: `host-${slot.id}`,
  title: `Host memory, slot ${slot.id}`,
  detail: `The shared half of slot ${slot.id}: ${bytes(slot.pages * 4096)} at ${hex(slot.userspaceAddr)}`,
  half: 'shared',
  label: `Host anonymous memory behind memslot ${slot.id}, a page a cell`,
  map: host,
  base: 0,
  refOf: (page) => ({ gfn: slot.baseGfn + page }),
  cellOf: (chain) => (chain.slot?.slot.id === slot.id ? (chain.page ?? -1) : -1),
})

const frameSource = (sampler: Sampler): TitledSource => ({
  id: 'frames',
  title: 'Host frames',
  detail: `${bytes(sampler.view.layout.bytes)} by pfn`,
  half: null,
  label: 'All frames of host memory, a frame a cell',
  map: sampler.frames,
  base: 0,
  refOf: (pfn) => refOfPfn(sampler, pfn),
  cellOf: (chain) => chain.pfn,
})

export const mapSources = (sampler: Sampler, tab: FolioTab): readonly TitledSource[] =>
  tab === 'frames'
    ? [frameSource(sampler)]
    : [
        ...sampler.files.map((file) => fileSource(sampler, file)),
        ...sampler.slots.filter(({ inPlace }) => !inPlace).map(hostSource),
      ]
