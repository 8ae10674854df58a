/**
 * RESP2, the wire format of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/): commands to text,
 * bytes to replies, in whatever chunks they come. A reply is a *tape* over its own bytes: three numbers per node in
 * depth-first order, so that a reply with thousands of strings costs one array and no object per string. The hot path
 * walks the tape (result-entries.ts); everything else asks for the plain value. It knows nothing of connections.
 */

export const nodeKind = { simple: 0, error: 1, integer: 2, bulk: 3, nil: 4, array: 5 } as const

/** Numbers per node on the tape. */
export const nodeSize = 3

/**
 * One whole reply. `tape` holds, per node, its kind and two numbers: start and end in `bytes` for simple, error and
 * bulk; the value and 0 for an integer; the count of elements, which follow, and 0 for an array; 0 and 0 for nil.
 */
export interface Reply {
  /** The receiver owns them and may write into them. */
  readonly bytes: Uint8Array
  readonly tape: readonly number[]
}

export type Decoded =
  | { readonly type: 'reply'; readonly reply: Reply }
  | { readonly type: 'incomplete' }
  /** The reply is larger than the limits allow. */
  | { readonly type: 'too-large' }
  /** The bytes are not RESP2. */
  | { readonly type: 'invalid' }

export interface RespDecoder {
  /** Adds bytes; the decoder owns the chunk from then on. */
  push(chunk: Uint8Array): void
  /** The next whole reply. After `too-large` and `invalid` the stream has lost its frame and the answer stays the same. */
  next(): Decoded
}

export interface RespLimits {
  readonly replyBytes: number
  readonly replyNodes: number
}

export const defaultRespLimits: RespLimits = { replyBytes: 32 * 1024 * 1024, replyNodes: 1024 * 1024 }

/** The longest line that is not a bulk string: a status or an error message. */
const maximumLineBytes = 64 * 1024

const carriageReturn = 0x0d
const lineFeed = 0x0a

const encoder = new TextEncoder()
// A leading U+FEFF is part of the value here.
const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })

/** A command as RESP text: an array of bulk strings. Encode it as UTF-8; several may be joined first. */
export function commandText(args: readonly string[]): string {
  let text = `*${args.length}\r\n`
  for (const arg of args) text += `$${utf8Length(arg)}\r\n${arg}\r\n`
  return text
}

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text)
}

export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end))
}

/** Bytes of `text` in UTF-8 as TextEncoder writes it: a lone surrogate becomes U+FFFD, three bytes. */
function utf8Length(text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) length += 1
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      // Two units, four bytes.
      length += 2
      i++
    } else length += 2
  }
  return length
}

export function createRespDecoder(limits: RespLimits = defaultRespLimits): RespDecoder {
  let buffer: Uint8Array = new Uint8Array(0)
  let end = 0
  /** Where the reply under way begins, and how far it has been decoded. */
  let start = 0
  let cursor = 0
  /** No line ends between `cursor` and here: a line that comes byte by byte is not searched again and again. */
  let searched = 0
  let tape: number[] = []
  /** Nodes that the reply still needs. */
  let missing = 1
  /** Length of the bulk string whose header has been read, or -1. */
  let bulkLength = -1
  let broken: Decoded | undefined

  const push: RespDecoder['push'] = (chunk) => {
    if (broken !== undefined) return
    if (start === end) {
      buffer = chunk
      start = cursor = searched = 0
      end = chunk.length
      return
    }
    if (buffer.length - end < chunk.length) {
      const kept = end - start
      // Twice the need, so that a reply in many chunks is copied a constant number of times.
      const grown = new Uint8Array(2 * (kept + chunk.length))
      grown.set(buffer.subarray(start, end))
      buffer = grown
      cursor -= start
      searched -= start
      start = 0
      end = kept
    }
    buffer.set(chunk, end)
    end += chunk.length
  }

  /** The index of the next line's CR, -1 when it is not there yet, -2 when it will not come in time. */
  function lineEnd(): number {
    const found = buffer.indexOf(lineFeed, Math.max(cursor, searched))
    if (found === -1 || found >= end) {
      searched = end
      return end - cursor > maximumLineBytes ? -2 : -1
    }
    return found > cursor && buffer[found - 1] === carriageReturn ? found - 1 : -2
  }

  function integer(from: number, to: number): number {
    const negative = buffer[from] === 0x2d
    let at = negative ? from + 1 : from
    if (at === to || to - at > 19) return NaN
    let value = 0
    for (; at < to; at++) {
      const digit = (buffer[at] as number) - 0x30
      if (digit < 0 || digit > 9) return NaN
      value = value * 10 + digit
    }
    return negative ? -value : value
  }

  /** Decodes one node, or the header of a bulk string. */
  function step(): 'on' | 'incomplete' | 'invalid' | 'too-large' {
    if (bulkLength >= 0) {
      const bulkEnd = cursor + bulkLength
      if (bulkEnd + 2 > end) return 'incomplete'
      if (buffer[bulkEnd] !== carriageReturn || buffer[bulkEnd + 1] !== lineFeed) return 'invalid'
      tape.push(nodeKind.bulk, cursor - start, bulkEnd - start)
      cursor = bulkEnd + 2
      bulkLength = -1
      missing--
      return 'on'
    }
    const lineEndsAt = lineEnd()
    if (lineEndsAt === -1) return 'incomplete'
    if (lineEndsAt === -2) return 'invalid'
    const type = buffer[cursor]
    const from = cursor + 1
    cursor = searched = lineEndsAt + 2
    missing--
    if (type === 0x2b || type === 0x2d) {
      tape.push(type === 0x2b ? nodeKind.simple : nodeKind.error, from - start, lineEndsAt - start)
      return 'on'
    }
    const value = integer(from, lineEndsAt)
    if (Number.isNaN(value)) return 'invalid'
    if (type === 0x3a) {
      tape.push(nodeKind.integer, value, 0)
      return 'on'
    }
    if (type !== 0x24 && type !== 0x2a) return 'invalid'
    if (value < 0) {
      if (value !== -1) return 'invalid'
      tape.push(nodeKind.nil, 0, 0)
    } else if (type === 0x2a) {
      missing += value
      tape.push(nodeKind.array, value, 0)
    } else {
      missing++
      bulkLength = value
    }
    // Refused by what the headers announce, before it is there.
    const announcedBytes = cursor - start + Math.max(bulkLength, 0)
    return announcedBytes > limits.replyBytes || tape.length / nodeSize + missing > limits.replyNodes ? 'too-large' : 'on'
  }

  const next: RespDecoder['next'] = () => {
    if (broken !== undefined) return broken
    while (missing > 0) {
      const result = step()
      if (result === 'on') continue
      if (result !== 'incomplete') return (broken = { type: result })
      if (end - start > limits.replyBytes) return (broken = { type: 'too-large' })
      return { type: 'incomplete' }
    }
    const reply: Reply = { bytes: buffer.subarray(start, cursor), tape }
    start = cursor
    tape = []
    missing = 1
    return { type: 'reply', reply }
  }

  return { push, next }
}

/** An error reply inside a value: `code` is its first word, such as WRONGTYPE. */
export interface ErrorReply {
  readonly code: string
  readonly message: string
}

export type RespValue = string | number | null | ErrorReply | readonly RespValue[]

/** Deeper replies than any Redis command gives are refused rather than recursed into. */
const maximumDepth = 32

/** The reply as plain values, strings decoded as UTF-8. Throws a RangeError beyond 32 levels of arrays. */
export function replyValue({ bytes, tape }: Reply): RespValue {
  let at = 0
  const read = (depth: number): RespValue => {
    const [kind, first, second] = [tape[at], tape[at + 1] as number, tape[at + 2] as number]
    at += nodeSize
    if (kind === nodeKind.integer) return first
    if (kind === nodeKind.nil) return null
    if (kind === nodeKind.array) {
      if (depth === maximumDepth) throw new RangeError('A reply is nested too deeply.')
      return Array.from({ length: first }, () => read(depth + 1))
    }
    const text = decodeText(bytes, first, second)
    return kind === nodeKind.error ? { code: text.split(' ', 1)[0] ?? '', message: text } : text
  }
  return read(0)
}

export function isErrorReply(reply: Reply): boolean {
  return reply.tape[0] === nodeKind.error
}
