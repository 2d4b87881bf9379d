// A guest of the person's own: dropped on the page or picked as a file.

import { useEffect, useRef, useState } from 'react'
import { fileGuest } from '../guest/guest.ts'
import { usePage, usePageState } from './page.ts'

export const GUEST_PICKER_ID = 'guest-picker'

export const GuestDrop = () => {
  const { supervisor } = usePage()
  const guestOpen = usePageState((state) => state.guestOpen)
  const [over, setOver] = useState(false)
  const depth = useRef(0)

  useEffect(() => {
    const boot = async (file: File): Promise<void> => {
      await supervisor.bootGuest(fileGuest(file.name, new Uint8Array(await file.arrayBuffer())))
    }
    const carriesFile = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false
    const handlers = {
      dragenter: (event: DragEvent) => {
        if (!carriesFile(event)) return
        depth.current++
        setOver(true)
      },
      dragleave: (event: DragEvent) => {
        if (!carriesFile(event)) return
        depth.current = Math.max(0, depth.current - 1)
        if (!depth.current) setOver(false)
      },
      dragover: (event: DragEvent) => {
        if (carriesFile(event)) event.preventDefault()
      },
      drop: (event: DragEvent) => {
        depth.current = 0
        setOver(false)
        const file = event.dataTransfer?.files[0]
        // The dialog that asks for a guest's files takes them itself.
        if (!file || event.defaultPrevented) return
        event.preventDefault()
        void boot(file)
      },
    } as const
    const picker = document.getElementById(GUEST_PICKER_ID)
    const picked = (): void => {
      if (!(picker instanceof HTMLInputElement)) return
      const file = picker.files?.[0]
      picker.value = ''
      if (file) void boot(file)
    }
    picker?.addEventListener('change', picked)
    for (const [name, handler] of Object.entries(handlers)) {
      window.addEventListener(name, handler as EventListener)
    }
    return () => {
      picker?.removeEventListener('change', picked)
      for (const [name, handler] of Object.entries(handlers)) {
        window.removeEventListener(name, handler as EventListener)
      }
    }
  }, [supervisor])

  return (
    <>
      <input
        type="file"
        id={GUEST_PICKER_ID}
        data-testid="guest-picker"
        className="visually-hidden"
        tabIndex={-1}
        aria-label="Guest image"
      />
      {over && !guestOpen && (
        <div className="drop" aria-hidden="true">
          <p>
            Drop an ELF file or a Linux <code>Image</code> for RISC-V to boot it
          </p>
        </div>
      )}
    </>
  )
}
