/**
 * From the reply of an XREAD over result streams to lines `<id>\t<type>\t<data>\n`, the format between the hub and its
 * callers. This is the path of every token, so lines are made in place by moving bytes to the left inside the reply,
 * and copied out once per stream. Nothing is parsed here: `type` is compared to spot the terminal event, no more.
 */
import { terminalTypes } from '../../shared/stream-events.ts'
import { decodeText, nodeKind, nodeSize } from './resp.ts'
import type { Reply } from './resp.ts'

export interface ResultBatch {
  /** The whole lines of all good entries, up to and including the terminal one; a copy that keeps no reply alive. */
  readonly lines: Uint8Array
  /** Id of the last entry in the reply, from where to read on. */
  readonly lastId: string
  /** `malformed`: what follows `lines` is not an entry of fields `type` and `data` whose values fit in a line. */
  readonly outcome: 'live' | 'terminal' | 'malformed'
}

const tab = 0x09
const lineFeed = 0x0a

/**
 * Calls `deliver` once per stream that has entries in the reply (never when XREAD ran into its time limit). It writes
 * into the reply's bytes. Throws when the reply is not that of an XREAD.
 */
export function readResultEntries(reply: Reply, deliver: (key: string, batch: ResultBatch) => void): void {
  const { bytes, tape } = reply
  let at = 0
  const startOf = (node: number): number => tape[node + 1] as number
  const endOf = (node: number): number => tape[node + 2] as number
  /** Steps over one node and returns where it was. */
  const take = (kind: number): number => {
    if (tape[at] !== kind) throw new Error('The reply is not that of an XREAD.')
    at += nodeSize
    return at - nodeSize
  }

  function equals(node: number, text: string): boolean {
    const start = startOf(node)
    if (endOf(node) - start !== text.length) return false
    for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
    return true
  }

  /** In RESP a bulk string is followed by CR LF, so the search never runs past it. */
  const isOneLine = (node: number): boolean => bytes.indexOf(lineFeed, startOf(node)) === endOf(node) + 1

  function isWellFormed(fields: number, first: number): boolean {
    const [type, dataName, data] = [first + nodeSize, first + 2 * nodeSize, first + 3 * nodeSize]
    if (fields !== 4 || !equals(first, 'type') || !equals(dataName, 'data') || !isOneLine(type) || !isOneLine(data)) return false
    for (let i = startOf(type); i < endOf(type); i++) if (bytes[i] === tab) return false
    return true
  }

  /** Moves a node's bytes to `to`, which is never behind them: a line is shorter than what it is made from. */
  function append(node: number, to: number, separator: number): number {
    bytes.copyWithin(to, startOf(node), endOf(node))
    const next = to + endOf(node) - startOf(node)
    bytes[next] = separator
    return next + 1
  }

  function readStream(): void {
    take(nodeKind.array)
    const keyNode = take(nodeKind.bulk)
    const key = decodeText(bytes, startOf(keyNode), endOf(keyNode))
    const entries = startOf(take(nodeKind.array))
    const linesStart = endOf(keyNode)
    let linesEnd = linesStart
    let outcome: ResultBatch['outcome'] = 'live'
    let lastId = ''
    for (let left = entries; left > 0; left--) {
      take(nodeKind.array)
      const idNode = take(nodeKind.bulk)
      const fields = startOf(take(nodeKind.array))
      const first = at
      at += fields * nodeSize
      // Before the bytes of its own line run over it.
      if (left === 1) lastId = decodeText(bytes, startOf(idNode), endOf(idNode))
      if (outcome !== 'live') continue
      if (!isWellFormed(fields, first)) {
        outcome = 'malformed'
        continue
      }
      const type = first + nodeSize
      if (terminalTypes.some((terminal) => equals(type, terminal))) outcome = 'terminal'
      linesEnd = append(idNode, linesEnd, tab)
      linesEnd = append(type, linesEnd, tab)
      linesEnd = append(first + 3 * nodeSize, linesEnd, lineFeed)
    }
    deliver(key, { lines: bytes.slice(linesStart, linesEnd), lastId, outcome })
  }

  if (tape[0] === nodeKind.nil) return
  for (let left = startOf(take(nodeKind.array)); left > 0; left--) readStream()
}
