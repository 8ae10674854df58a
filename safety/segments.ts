/**
 * Cuts a text into the segments that the sluice releases: after a line, after a sentence, or where a segment grows too
 * long, at white space if there is some. Where a cut lies depends on the text up to one character past the whitespace that
 * ends the segment, and never on how the text was chunked. The first segments are short so that the first text leaves
 * early; later ones are longer because scorers judge longer texts better.
 */

export interface Segmenter {
  /** Reads a code point at [start, end). Returns the place of a cut that is certain now, which is at most `start`. */
  push(codePoint: number, start: number, end: number): number | null
}

const codesOf = (characters: string): ReadonlySet<number> => new Set(Array.from(characters, (character) => character.codePointAt(0) ?? 0))
const sentenceEnds = codesOf('.!?…。！？')
const closers = codesOf('"\')]}”’»*_`')
const lineEnds = codesOf('\n\r\u2028\u2029')
const spaces = codesOf(' \t\u00a0\u3000\v\f')

/** `caps`: the longest first, second, … segment in UTF-16 units; the last one applies to all that follow. */
export function createSegmenter(caps: readonly number[]): Segmenter {
  let segments = 0
  let segmentStart = 0
  /** End of the last white space in this segment. */
  let breakable = 0
  let sentenceEnded = false
  let cutAfterSpace = false

  const cutAt = (place: number): number => {
    segments += 1
    segmentStart = place
    cutAfterSpace = false
    return place
  }

  return {
    push(codePoint, start, end) {
      const isLineEnd = lineEnds.has(codePoint)
      const isSpace = isLineEnd || spaces.has(codePoint)
      const cap = caps[Math.min(segments, caps.length - 1)] ?? Infinity
      let cut: number | null = null
      if (cutAfterSpace && !isSpace) cut = cutAt(start)
      else if (end - segmentStart > cap) cut = cutAt(breakable > segmentStart ? breakable : start)
      if (isSpace) {
        breakable = end
        if (sentenceEnded || isLineEnd) cutAfterSpace = true
        sentenceEnded = false
      } else sentenceEnded = sentenceEnds.has(codePoint) || (sentenceEnded && closers.has(codePoint))
      return cut
    },
  }
}
