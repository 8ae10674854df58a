/**
 * One repository of the Hugging Face Hub (https://huggingface.co/docs/hub/api), through its own client, with what that
 * leaves open: a limit on silence, a check that a range was honoured, and errors that say what was tried and what to do.
 */
import { HubApiError, downloadFile, listFiles } from '@huggingface/hub'
import { ModelError, modelError } from './model-error.ts'

export interface RemoteFile {
  readonly name: string
  readonly bytes: number
  /** Large files have the SHA-256 of their content, small ones that of Git: SHA-1 over "blob <length>\0" and the content. */
  readonly checksum: { readonly algorithm: 'sha256' | 'git-sha1'; readonly hex: string }
}

export interface Hub {
  /** Files at the top of the repository. Throws `download-failed`. */
  list(): Promise<RemoteFile[]>
  /** The file's bytes from `start`. Throws `download-failed`, also in mid-stream; a `TransientDownloadError` may pass. */
  read(file: RemoteFile, start: number): AsyncGenerator<Uint8Array>
}

export interface HubOptions {
  /** Such as `https://mirror.example`, without a slash at the end. */
  readonly origin: string
  readonly repository: string
  readonly silenceMs: number
  readonly accessToken?: string
  readonly signal?: AbortSignal
}

/** A failure that another attempt may not meet: no answer, a broken connection, a server in trouble. */
export class TransientDownloadError extends ModelError {
  constructor(message: string, options?: ErrorOptions) {
    super('download-failed', message, options)
  }
}

export function connectToHub({ origin, repository, silenceMs, accessToken, signal }: HubOptions): Hub {
  const guarded: typeof fetch = async (input, init) => {
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(new Error(`no answer within ${silenceMs / 1000} s`)), silenceMs)
    try {
      const response = await fetch(input, { ...init, signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal })
      // A server that ignores the range would send the file's first bytes to be appended at its middle.
      if (response.status === 200 && new Headers(init?.headers).has('range')) {
        await response.body?.cancel()
        throw modelError('download-failed', `${origin} does not support range requests, which pulling needs. Use another mirror.`)
      }
      return response
    } finally {
      clearTimeout(timer)
    }
  }
  const access = { repo: repository, hubUrl: origin, fetch: guarded, ...(accessToken && { accessToken }) }
  const explain = (what: string, error: unknown): Error => {
    signal?.throwIfAborted()
    return describe(`${what} from ${origin}/${repository}`, error)
  }

  return {
    list: async () => {
      try {
        const files: RemoteFile[] = []
        for await (const { type, path, size, oid, lfs } of listFiles(access)) {
          if (type !== 'file') continue
          const checksum = lfs ? { algorithm: 'sha256', hex: lfs.oid } as const : { algorithm: 'git-sha1', hex: oid ?? '' } as const
          files.push({ name: path, bytes: lfs?.size ?? size, checksum })
        }
        return files
      } catch (error) {
        throw explain('The list of files could not be read', error)
      }
    },
    read: async function* (file, start) {
      const what = `${file.name} could not be read`
      let stream: ReadableStream<Uint8Array>
      try {
        // The hub's own transfer protocol ("xet") has no ranges that a mirror could serve; plain HTTP has.
        const blob = await downloadFile({ ...access, path: file.name, xet: false })
        if (blob === null) throw modelError('download-failed', 'the hub lists it and does not have it')
        if (blob.size !== file.bytes) throw modelError('download-failed', `it has ${blob.size} bytes, and the list of files says ${file.bytes}`)
        stream = blob.slice(start, blob.size).stream()
      } catch (error) {
        throw explain(what, error)
      }
      const reader = stream.getReader()
      try {
        for (;;) {
          const { done, value } = await withLimit(reader.read(), silenceMs).catch((error: unknown) => {
            throw explain(what, error)
          })
          if (done) return
          yield value
        }
      } finally {
        await reader.cancel().catch(() => undefined)
      }
    },
  }
}

const advice =
  'Check that this machine reaches the internet; behind a proxy set NODE_USE_ENV_PROXY=1. A mirror is used when PHIGATE_HUB_URL or ' +
  'HF_ENDPOINT names it. Or fetch the folder elsewhere and compile it here: npm run phigate -- model compile <folder> --precision fp32 --out <dir>.'

function describe(what: string, error: unknown): Error {
  if (error instanceof HubApiError) {
    const status = error.statusCode
    if (status === 401 || status === 403 || status === 404) {
      return modelError('download-failed', `${what}: the hub answered ${status}. It does not have it, or asks for an access token (HF_TOKEN).`, { cause: error })
    }
    return new TransientDownloadError(`${what}: the hub answered ${status}. ${advice}`, { cause: error })
  }
  if (error instanceof ModelError) return error
  return new TransientDownloadError(`${what}: ${reasonOf(error)}. ${advice}`, { cause: error })
}

/** `fetch` says "fetch failed" and hides the reason in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  return 'code' in error && typeof error.code === 'string' ? `${error.message || 'connection failed'} (${error.code})` : error.message
}

async function withLimit<Value>(work: Promise<Value>, limitMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came for ${limitMs / 1000} s`)), limitMs)
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}
