// The maps' colours: read from the theme's CSS variables, so that the page and its canvases have one palette.

import type { Pipeline, Rgb } from './context.ts'

export interface MapColours {
  /** Behind the map. */
  readonly surface: Rgb
  readonly ground: Rgb
  readonly absent: Rgb
  readonly private: Rgb
  readonly shared: Rgb
  readonly kernel: Rgb
  readonly foreign: Rgb
  readonly parcel: Rgb
  readonly hole: Rgb
  readonly fault: Rgb
  readonly ink: Rgb
}

/** An sRGB colour as #rrggbb, or as #rgb (what a minifier makes of it), in three numbers from 0 to 1. */
export const parseHex = (text: string): Rgb => {
  const digits = text.trim().slice(1)
  const size = digits.length / 3
  const channel = (at: number): number => {
    const part = digits.slice(at * size, (at + 1) * size)
    return Number.parseInt(size === 1 ? part + part : part, 16) / 255
  }
  return [channel(0), channel(1), channel(2)]
}

export const readColours = (): MapColours => {
  const style = getComputedStyle(document.documentElement)
  const read = (name: string): Rgb => parseHex(style.getPropertyValue(name))
  return {
    surface: read('--surface'),
    ground: read('--map-ground'),
    absent: read('--map-absent'),
    private: read('--private'),
    shared: read('--shared'),
    kernel: read('--map-kernel'),
    foreign: read('--map-foreign'),
    parcel: read('--map-parcel'),
    hole: read('--map-hole'),
    fault: read('--fault'),
    ink: read('--ink'),
  }
}

/** Hands the palette to a map's program; a colour that its shader does not use goes nowhere. */
export const setColours = ({ gl, uniform }: Pipeline, colours: MapColours): void => {
  gl.uniform3fv(uniform('surface'), colours.surface)
  gl.uniform3fv(uniform('ground'), colours.ground)
  gl.uniform3fv(uniform('absent'), colours.absent)
  gl.uniform3fv(uniform('privateHue'), colours.private)
  gl.uniform3fv(uniform('sharedHue'), colours.shared)
  gl.uniform3fv(uniform('kernelHue'), colours.kernel)
  gl.uniform3fv(uniform('foreignHue'), colours.foreign)
  gl.uniform3fv(uniform('parcelHue'), colours.parcel)
  gl.uniform3fv(uniform('holeHue'), colours.hole)
  gl.uniform3fv(uniform('faultHue'), colours.fault)
  gl.uniform3fv(uniform('ink'), colours.ink)
}
