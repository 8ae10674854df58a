/**
 * An HTTP server with the few endpoints of the Hugging Face Hub that fetching a model needs: the file list, and files
 * with ranges, large ones behind a redirect as on the real hub. It can break connections and lie, on demand.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ImitationHub {
  readonly url: string
  /** `<method> <path> <range or ->` of each request. */
  readonly requests: string[]
  readonly behaviour: Behaviour
  close(): Promise<void>
}

export interface Behaviour {
  /** Connections of file bodies are cut after so many bytes. */
  cutAfter?: number | undefined
  /** So many bodies are cut; then all goes well. Default: all. */
  cuts?: number | undefined
  /** Answers requests for the list with this status. */
  listStatus?: number | undefined
  /** Never answers the list. */
  silent?: boolean
  /** Ignores the range header of bodies. */
  ignoresRange?: boolean
  /** Lists this SHA-256 for large files. */
  listedSha256?: string | undefined
}

/** Files of `<repository>`; those of more than 1,000 bytes count as large. */
export async function startImitationHub(repository: string, files: Readonly<Record<string, Uint8Array>>): Promise<ImitationHub> {
  const behaviour: Behaviour = {}
  const requests: string[] = []

  const list = (): unknown[] =>
    Object.entries(files).map(([path, content]) => {
      const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
      const sha256 = behaviour.listedSha256 ?? createHash('sha256').update(content).digest('hex')
      const lfs = content.length > 1000 ? { lfs: { oid: sha256, size: content.length, pointerSize: 130 } } : {}
      return { type: 'file', path, size: content.length, oid, ...lfs }
    })

  const sendFile = (name: string, request: IncomingMessage, response: ServerResponse): void => {
    const content = files[name]
    if (content === undefined) return void response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end()
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    const isProbe = request.headers.range === 'bytes=0-0'
    const start = range && !(behaviour.ignoresRange && !isProbe) ? Number(range[1]) : 0
    const end = range ? Math.min(Number(range[2]) + 1, content.length) : content.length
    const body = content.subarray(start, end)
    const etag = { etag: `"${createHash('sha1').update(content).digest('hex')}"` }
    if (range && !(behaviour.ignoresRange && !isProbe)) {
      response.writeHead(206, { ...etag, 'content-length': body.length, 'content-range': `bytes ${start}-${end - 1}/${content.length}` })
    } else response.writeHead(200, { ...etag, 'content-length': body.length })
    const cut = behaviour.cutAfter !== undefined && body.length > behaviour.cutAfter && (behaviour.cuts ?? 1) > 0
    if (!cut) return void response.end(body)
    if (behaviour.cuts !== undefined) behaviour.cuts--
    response.write(body.subarray(0, behaviour.cutAfter), () => setTimeout(() => response.destroy(), 20))
  }

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://hub')
    requests.push(`${request.method} ${pathname} ${request.headers.range ?? '-'}`)
    const resolved = `/${repository}/resolve/main/`
    if (pathname === `/api/models/${repository}/tree/main`) {
      if (behaviour.silent) return
      if (behaviour.listStatus !== undefined) return void response.writeHead(behaviour.listStatus, { 'content-type': 'application/json' }).end('{"error":"no"}')
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(list()))
    }
    if (pathname.startsWith(resolved)) {
      const name = pathname.slice(resolved.length)
      if ((files[name]?.length ?? 0) > 1000) return void response.writeHead(302, { location: `/storage/${name}` }).end()
      return sendFile(name, request, response)
    }
    if (pathname.startsWith('/storage/')) return sendFile(pathname.slice('/storage/'.length), request, response)
    response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    behaviour,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
