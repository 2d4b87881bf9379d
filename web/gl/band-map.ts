// Draws the address space's band: one row of pixels per row of a small texture that says what lies there.

import { type MapColours, setColours } from './colours.ts'
import { keepPipeline, type Pipeline } from './context.ts'

/** What a row of the band is. */
export const RowKind = { outside: 0, hole: 1, mmio: 2, slot: 3 } as const

/** Bytes a row takes: kind, shared share, stage-2 share, mismatch, flash, page edge, and two to spare. */
export const ROW_BYTES = 8

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D rows;   // RGBA8UI, two texels a row
uniform vec2 size;         // of the canvas, device pixels
uniform vec3 ground, absent, privateHue, sharedHue, kernelHue, holeHue, faultHue, ink;
out vec4 colour;

void main() {
  int y = int(size.y - gl_FragCoord.y);
  uvec4 a = texelFetch(rows, ivec2(0, y), 0);
  uvec4 b = texelFetch(rows, ivec2(1, y), 0);
  float x = gl_FragCoord.x / size.x;
  float diagonal = mod(gl_FragCoord.x + gl_FragCoord.y, 8.0);
  vec3 c = ground;
  if (a.r == ${RowKind.hole}u) c = mod(gl_FragCoord.x - gl_FragCoord.y, 8.0) < 1.0 ? holeHue : ground;
  else if (a.r == ${RowKind.mmio}u) c = kernelHue;
  else if (a.r == ${RowKind.slot}u) {
    float split = 0.72;
    if (x < split) {
      float shared = float(a.g) / 255.0;
      // A shared page in a sea of private ones must be seen: what is there at all gets a quarter of the width.
      float edge = shared <= 0.0 ? 1.0 : shared >= 1.0 ? 0.0 : clamp(1.0 - shared, 0.25, 0.75);
      bool isShared = x / split > edge;
      c = isShared ? sharedHue : privateHue;
      if (isShared && diagonal < 2.0) c = mix(c, ground, 0.28);
      if (a.a > 0u && mod(gl_FragCoord.x + gl_FragCoord.y, 6.0) < 3.0) c = faultHue;
    } else if (x > split + 0.04) {
      c = mix(absent, ink, 0.8 * float(a.b) / 255.0);
    }
    c = mix(c, ink, 0.7 * float(b.r) / 255.0);
    if (b.g > 0u) c = ground;
  }
  colour = vec4(c, 1.0);
}`

export class BandRenderer {
  readonly #canvas: HTMLCanvasElement
  readonly #release: () => void
  #pipeline: Pipeline | null = null

  constructor(canvas: HTMLCanvasElement, restored: () => void) {
    this.#canvas = canvas
    this.#release = keepPipeline(canvas, FRAGMENT, (pipeline) => {
      this.#pipeline = pipeline
      if (!pipeline) return
      const { gl } = pipeline
      gl.activeTexture(gl.TEXTURE0)
      gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST)
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST)
      gl.uniform1i(pipeline.uniform('rows'), 0)
      restored()
    })
  }

  /** `rows` holds ROW_BYTES for each of the canvas's pixel rows, top first. */
  draw(rows: Uint8Array, colours: MapColours): void {
    const pipeline = this.#pipeline
    if (!pipeline) return
    const { gl, uniform } = pipeline
    const { width, height } = this.#canvas
    gl.texImage2D(
      gl.TEXTURE_2D,
      0,
      gl.RGBA8UI,
      ROW_BYTES / 4,
      height,
      0,
      gl.RGBA_INTEGER,
      gl.UNSIGNED_BYTE,
      rows,
    )
    gl.viewport(0, 0, width, height)
    gl.uniform2f(uniform('size'), width, height)
    setColours(pipeline, colours)
    gl.drawArrays(gl.TRIANGLES, 0, 3)
  }

  dispose(): void {
    this.#release()
  }
}
