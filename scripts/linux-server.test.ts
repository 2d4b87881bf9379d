import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LinuxServer } from './linux-server.mjs'

const headers = { 'Cross-Origin-Resource-Policy': 'same-origin' }
const linux = new LinuxServer(headers)
let server: Server
let base: string

beforeAll(async () => {
  server = createServer((request, response) =>
    linux.handle(request, response, () => response.writeHead(418).end()),
  )
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  base = `http://localhost:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.close())

describe('the server of Debian’s Linux', () => {
  it('says how far it is, with the isolation headers', async () => {
    const response = await fetch(`${base}/linux/status`)
    expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin')
    expect(await response.json()).toMatchObject({ state: 'fetching', fraction: 0 })
  })

  it('has no files before they are fetched, and none but its own', async () => {
    for (const path of [
      'Image',
      'initramfs.cpio.gz',
      'manifest.json',
      '../package.json',
      '%2e%2e/package.json',
    ])
      expect([404, 418]).toContain((await fetch(`${base}/linux/${path}`)).status)
  })

  it('leaves every other path to the page’s server', async () => {
    expect((await fetch(`${base}/`)).status).toBe(418)
    expect((await fetch(`${base}/linux`)).status).toBe(418)
  })

  it('takes orders by POST only', async () => {
    expect((await fetch(`${base}/linux/fetch`)).status).toBe(404)
    expect((await fetch(`${base}/linux/status`, { method: 'POST' })).status).toBe(405)
  })

  it('says why there is none, and what to do', async () => {
    linux.unavailable('there is no network')
    const status = await (await fetch(`${base}/linux/status`)).json()
    expect(status).toEqual({
      state: 'unavailable',
      reason: 'Debian’s Linux was not fetched: there is no network',
      remedy: expect.stringContaining('as files'),
    })
  })
})
