// A guest of the person's own: dropped on the page or picked as a file.

import { useEffect, useRef, useState } from 'react'
import { usePage } from './page.ts'

export const GUEST_PICKER_ID = 'guest-picker'

export const GuestDrop = () => {
  const { supervisor } = usePage()
  const [over, setOver] = useState(false)
  const depth = useRef(0)

  useEffect(() => {
    const boot = async (file: File): Promise<void> => {
      await supervisor.bootGuest({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })
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
        const file = event.dataTransfer?.files[0]
        if (!file) return
        event.preventDefault()
        depth.current = 0
        setOver(false)
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
      {over && (
        <div className="drop" aria-hidden="true">
          <p>
            Drop an ELF file or a Linux <code>Image</code> for RISC-V to boot it
          </p>
        </div>
      )}
    </>
  )
}
