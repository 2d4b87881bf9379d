// The maps' colours: read from the theme's CSS variables, so that the page and its canvases have one palette.

import type { Rgb } from './context.ts'

export interface MapColours {
  readonly ground: Rgb
  readonly absent: Rgb
  readonly private: Rgb
  readonly shared: Rgb
  readonly kernel: Rgb
  readonly hole: Rgb
  readonly fault: Rgb
  readonly ink: Rgb
}

/** An sRGB colour as #rrggbb in three numbers from 0 to 1. */
export const parseHex = (text: string): Rgb => {
  const value = Number.parseInt(text.trim().slice(1), 16)
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255]
}

export const readColours = (): MapColours => {
  const style = getComputedStyle(document.documentElement)
  const read = (name: string): Rgb => parseHex(style.getPropertyValue(name))
  return {
    ground: read('--map-ground'),
    absent: read('--map-absent'),
    private: read('--private'),
    shared: read('--shared'),
    kernel: read('--map-kernel'),
    hole: read('--map-hole'),
    fault: read('--fault'),
    ink: read('--ink'),
  }
}
