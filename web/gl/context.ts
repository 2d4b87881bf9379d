// A WebGL2 canvas: program, one full-screen triangle, cell textures; survives the loss of its context.

const VERTEX = `#version 300 es
void main() {
  // One triangle that covers the clip square.
  gl_Position = vec4(vec2((gl_VertexID << 1) & 2, gl_VertexID & 2) * 2.0 - 1.0, 0.0, 1.0);
}`

export type Rgb = readonly [red: number, green: number, blue: number]

const compile = (gl: WebGL2RenderingContext, kind: number, source: string): WebGLShader => {
  const shader = gl.createShader(kind)
  if (!shader) throw new Error('WebGL2 gave no shader')
  gl.shaderSource(shader, source)
  gl.compileShader(shader)
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
    throw new Error(`a shader does not compile: ${gl.getShaderInfoLog(shader)}`)
  }
  return shader
}

/** Texels a row of a state texture has; every WebGL2 allows textures of 2048 and more. */
const TEXTURE_WIDTH = 1024

/** One byte or word a cell, in rows of 1024. */
export class CellTexture<Cells extends Uint8Array | Uint16Array> {
  readonly #gl: WebGL2RenderingContext
  readonly #unit: number
  readonly #texture: WebGLTexture | null
  #rows = 0
  #padded: Cells | null = null

  constructor(gl: WebGL2RenderingContext, unit: number) {
    this.#gl = gl
    this.#unit = unit
    this.#texture = gl.createTexture()
    this.#bind()
    for (const parameter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, parameter, gl.NEAREST)
    }
  }

  upload(cells: Cells): void {
    const gl = this.#gl
    const rows = Math.max(1, Math.ceil(cells.length / TEXTURE_WIDTH))
    const isWords = cells instanceof Uint16Array
    const type = isWords ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE
    this.#bind()
    if (rows !== this.#rows) {
      this.#rows = rows
      const format = isWords ? gl.R16UI : gl.R8UI
      gl.texImage2D(gl.TEXTURE_2D, 0, format, TEXTURE_WIDTH, rows, 0, gl.RED_INTEGER, type, null)
      this.#padded = new (cells.constructor as new (length: number) => Cells)(rows * TEXTURE_WIDTH)
    }
    let source = cells
    if (this.#padded && cells.length !== this.#padded.length) {
      this.#padded.set(cells)
      source = this.#padded
    }
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rows, gl.RED_INTEGER, type, source)
  }

  #bind(): void {
    this.#gl.activeTexture(this.#gl.TEXTURE0 + this.#unit)
    this.#gl.bindTexture(this.#gl.TEXTURE_2D, this.#texture)
  }
}

/** What a renderer holds while its context lives. */
export interface Pipeline {
  readonly gl: WebGL2RenderingContext
  readonly uniform: (name: string) => WebGLUniformLocation | null
}

export const hasWebGl2 = (): boolean => {
  try {
    const gl = document.createElement('canvas').getContext('webgl2')
    gl?.getExtension('WEBGL_lose_context')?.loseContext()
    return gl !== null
  } catch {
    return false
  }
}

/**
 * Keeps a pipeline on `canvas` with the fragment shader `fragment`: `made` is called now and again after every
 * restored context. Returns the function that lets go of it.
 */
export const keepPipeline = (
  canvas: HTMLCanvasElement,
  fragment: string,
  made: (pipeline: Pipeline | null) => void,
): (() => void) => {
  const gl = canvas.getContext('webgl2', {
    alpha: false,
    antialias: false,
    depth: false,
    stencil: false,
    preserveDrawingBuffer: false,
    powerPreference: 'low-power',
  })
  if (!gl) throw new Error('this browser gives no WebGL2 context')
  const build = (): void => {
    const program = gl.createProgram()
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX))
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, fragment))
    gl.linkProgram(program)
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the map's program does not link: ${gl.getProgramInfoLog(program)}`)
    }
    gl.useProgram(program)
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1)
    const locations = new Map<string, WebGLUniformLocation | null>()
    made({
      gl,
      uniform(name) {
        if (!locations.has(name)) locations.set(name, gl.getUniformLocation(program, name))
        return locations.get(name) ?? null
      },
    })
  }
  const lost = (event: Event): void => {
    event.preventDefault()
    made(null)
  }
  canvas.addEventListener('webglcontextlost', lost)
  canvas.addEventListener('webglcontextrestored', build)
  build()
  return () => {
    canvas.removeEventListener('webglcontextlost', lost)
    canvas.removeEventListener('webglcontextrestored', build)
  }
}

/** Matches the canvas's pixels to its size on the screen; true when they changed. */
export const fitCanvas = (canvas: HTMLCanvasElement, width: number, height: number): boolean => {
  const ratio = window.devicePixelRatio || 1
  const w = Math.max(1, Math.round(width * ratio))
  const h = Math.max(1, Math.round(height * ratio))
  if (canvas.width === w && canvas.height === h) return false
  canvas.width = w
  canvas.height = h
  return true
}
