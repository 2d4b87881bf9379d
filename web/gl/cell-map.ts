// Draws a folio map: one cell a page, in one draw call, from two textures (state, recent change).

import type { PageMap } from '../model/page-map.ts'
import { Cell } from '../model/page-state.ts'
import { type MapColours, setColours } from './colours.ts'
import { CellTexture, keepPipeline, type Pipeline } from './context.ts'

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D states;
uniform usampler2D flashes;
uniform float height;      // of the canvas, device pixels
uniform vec2 origin;       // of cell 0, device pixels from the top left
uniform float size;        // of a cell, device pixels
uniform int columns;
uniform int total;
uniform vec3 surface, ground, absent, privateHue, sharedHue, kernelHue, foreignHue, parcelHue, faultHue, ink;
out vec4 colour;

int indexAt(vec2 point) {
  vec2 cell = floor(point / size);
  if (cell.x < 0.0 || cell.y < 0.0 || int(cell.x) >= columns) return -1;
  int at = int(cell.y) * columns + int(cell.x);
  return at < total ? at : -1;
}
ivec2 texel(int at) { return ivec2(at & 1023, at >> 10); }
// What a state counts for when several cells fall on one pixel: the rarer one wins.
uint rank(uint s) {
  return (s & ${Cell.allocated}u) * 8u + ((s & ${Cell.stage2}u) >> 2) * 4u + ((s & ${Cell.uptodate}u) >> 1) * 2u
    + ((s & ${Cell.locked}u) >> 5) + ((s & ${Cell.held}u) >> 9) * 16u + ((s & ${Cell.poisoned | Cell.lost}u) != 0u ? 32u : 0u) + ((s & ${Cell.parcel}u) >> 13) * 8u;
}
// Whether the cell at belongs to the 2 MiB folio block; folios lie at multiples of their size.
bool inBlock(int at, int block) {
  return at >= 0 && at < total && at >> 9 == block && (texelFetch(states, texel(at), 0).r & ${Cell.large}u) != 0u;
}

void main() {
  vec2 point = vec2(gl_FragCoord.x, height - gl_FragCoord.y) - origin;
  int at = indexAt(point);
  if (at < 0) { colour = vec4(surface, 1.0); return; }
  uint state = texelFetch(states, texel(at), 0).r;
  float flash = float(texelFetch(flashes, texel(at), 0).r) / 255.0;
  if (size < 1.0) {
    // Several cells a pixel: the pixel shows the most that any of them has.
    int across = int(ceil(1.0 / size));
    for (int dy = 0; dy < 4; dy++) for (int dx = 0; dx < 4; dx++) {
      if (dx >= across || dy >= across) continue;
      int other = indexAt(point + vec2(float(dx), float(dy)) * size);
      if (other < 0) continue;
      uint s = texelFetch(states, texel(other), 0).r;
      if (rank(s) > rank(state)) state = s;
      flash = max(flash, float(texelFetch(flashes, texel(other), 0).r) / 255.0);
    }
  }
  else if (size < 3.0) {
    // A lone folio in a sea of absent pages must be seen: marks are at least three pixels wide.
    for (int dy = -1; dy <= 1; dy++) for (int dx = -1; dx <= 1; dx++) {
      int other = indexAt(point + vec2(float(dx), float(dy)));
      if (other < 0) continue;
      uint s = texelFetch(states, texel(other), 0).r;
      if (rank(s) > rank(state)) state = s;
      flash = max(flash, float(texelFetch(flashes, texel(other), 0).r) / 255.0);
    }
  }
  vec2 within = fract(point / size) * size;
  float diagonal = mod(gl_FragCoord.x + gl_FragCoord.y, 6.0);
  vec3 hue = (state & ${Cell.private}u) != 0u ? privateHue : sharedHue;
  vec3 c = absent;
  if ((state & ${Cell.kernel}u) != 0u) c = kernelHue;
  else if ((state & ${Cell.poisoned}u) != 0u) {
    // Crossed out, where there is room for it.
    vec2 centred = abs(within - size * 0.5);
    c = size >= 7.0 && abs(centred.x - centred.y) < max(0.8, size * 0.07) ? ground : faultHue;
  }
  else if ((state & ${Cell.lost}u) != 0u) {
    // Struck out.
    c = abs(within.y - size * 0.5) < max(0.8, size * 0.09) ? ground : faultHue;
  }
  else if ((state & ${Cell.foreign}u) != 0u) c = mod(gl_FragCoord.y, 3.0) < 1.0 ? mix(foreignHue, ground, 0.35) : foreignHue;
  else if ((state & ${Cell.allocated}u) != 0u) {
    float strength = (state & ${Cell.stage2}u) != 0u ? 1.0 : (state & ${Cell.uptodate}u) != 0u ? 0.62 : 0.3;
    c = mix(absent, hue, strength);
    // Shared storage is striped as well as orange.
    if (size >= 7.0 && (state & ${Cell.private}u) == 0u && diagonal < 2.0) c = mix(c, ground, size < 60.0 ? 0.28 : 0.14);
    // Storage the guest does not use now fades into the ground.
    if ((state & ${Cell.aside}u) != 0u) c = mix(c, ground, mod(floor(gl_FragCoord.x) + floor(gl_FragCoord.y), 2.0) < 1.0 ? 0.75 : 0.3);
    // A host mapping is a dot in the cell; cells that carry text say it instead.
    if (size >= 10.0 && size < 60.0 && (state & ${Cell.hostMapped}u) != 0u) {
      vec2 off = abs(within - size * 0.5);
      if (max(off.x, off.y) < max(1.0, size * 0.12)) c = ground;
    }
  } else if ((state & ${Cell.aside}u) != 0u) {
    c = mix(absent, ground, 0.7);
  }
  // What the host's stage 2 does not reach has lost its foot.
  if ((state & ${Cell.lent}u) != 0u) {
    if (size < 6.0) c = mix(c, ground, 0.25);
    else if (within.y > size * 0.72) c = mix(c, ground, 0.85);
  }
  // A parcel has a colour of its own.
  if ((state & ${Cell.parcel}u) != 0u) c = size >= 7.0 && diagonal < 2.0 ? mix(parcelHue, ground, 0.28) : parcelHue;
  // Whoever else holds a reference turns down a corner.
  if ((state & ${Cell.held}u) != 0u) {
    if (size < 6.0) c = mix(c, ink, 0.55);
    else if (within.x - within.y > size * 0.45) c = ink;
  }
  c = mix(c, ink, flash * 0.7);
  // A 2 MiB folio is one area with an outline, not cells with gaps.
  bool right = false;
  bool below = false;
  if ((state & ${Cell.large}u) != 0u && size >= 1.25) {
    int block = at >> 9;
    int column = at % columns;
    right = column + 1 < columns && inBlock(at + 1, block);
    below = inBlock(at + columns, block);
    bool left = column > 0 && inBlock(at - 1, block);
    bool above = inBlock(at - columns, block);
    float line = max(1.0, floor(size * 0.1));
    if ((!left && within.x < line) || (!above && within.y < line) || (!right && within.x >= size - line)
      || (!below && within.y >= size - line)) { colour = vec4(mix(c, ink, 0.6), 1.0); return; }
  }
  if (size >= 5.0) {
    float gap = size >= 24.0 ? 2.0 : 1.0;
    if ((!right && within.x >= size - gap) || (!below && within.y >= size - gap)) c = ground;
    else if ((state & ${Cell.locked}u) != 0u) {
      float edge = max(1.0, size * 0.14);
      if (within.x < edge || within.y < edge || within.x >= size - gap - edge || within.y >= size - gap - edge) c = ink;
    }
  } else if ((state & ${Cell.locked}u) != 0u) c = ink;
  colour = vec4(c, 1.0);
}`

/** Where the cells lie on the canvas, in CSS pixels. */
export interface CellView {
  readonly x: number
  readonly y: number
  /** Side of a cell. */
  readonly size: number
  readonly columns: number
}

export class CellMapRenderer {
  readonly #canvas: HTMLCanvasElement
  readonly #release: () => void
  #pipeline: Pipeline | null = null
  #states: CellTexture<Uint16Array> | null = null
  #flashes: CellTexture<Uint8Array> | null = null
  #uploaded: PageMap | null = null
  #version = -1

  constructor(canvas: HTMLCanvasElement, restored: () => void) {
    this.#canvas = canvas
    this.#release = keepPipeline(canvas, FRAGMENT, (pipeline) => {
      this.#pipeline = pipeline
      this.#uploaded = null
      if (!pipeline) return
      this.#states = new CellTexture(pipeline.gl, 0)
      this.#flashes = new CellTexture(pipeline.gl, 1)
      pipeline.gl.uniform1i(pipeline.uniform('states'), 0)
      pipeline.gl.uniform1i(pipeline.uniform('flashes'), 1)
      restored()
    })
  }

  draw(map: PageMap, view: CellView, colours: MapColours): void {
    const pipeline = this.#pipeline
    if (!pipeline) return
    const { gl, uniform } = pipeline
    if (this.#uploaded !== map || this.#version !== map.version) {
      this.#states?.upload(map.states)
      this.#flashes?.upload(map.flashes)
      this.#uploaded = map
      this.#version = map.version
    }
    const ratio = window.devicePixelRatio || 1
    gl.viewport(0, 0, this.#canvas.width, this.#canvas.height)
    gl.uniform1f(uniform('height'), this.#canvas.height)
    gl.uniform2f(uniform('origin'), Math.round(view.x * ratio), Math.round(view.y * ratio))
    gl.uniform1f(uniform('size'), view.size * ratio)
    gl.uniform1i(uniform('columns'), view.columns)
    gl.uniform1i(uniform('total'), map.count)
    setColours(pipeline, colours)
    gl.drawArrays(gl.TRIANGLES, 0, 3)
  }

  dispose(): void {
    this.#release()
  }
}
