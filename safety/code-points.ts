/**
 * Reads UTF-16 units one by one and hands on code points, so that a surrogate pair split between two chunks of a stream
 * is still one character. A lone surrogate is handed on as itself: nothing is dropped or replaced.
 */

export interface CodePointReader {
  /** Reads the next units. `take` is called once for each code point, with its place [start, end) in the whole text. */
  push(text: string): void
  /** The text ends here: a high surrogate still waiting for its partner is handed on alone. */
  end(): void
}

/** `take` returns false to stop the reader for good. */
export function createCodePointReader(take: (codePoint: number, start: number, end: number) => boolean): CodePointReader {
  let position = 0
  let waiting: number | null = null
  let stopped = false

  const read = (unit: number): void => {
    if (waiting !== null) {
      const high = waiting
      waiting = null
      if (unit >= 0xdc00 && unit <= 0xdfff) {
        stopped = !take(0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00), position - 1, position + 1)
        position += 1
        return
      }
      stopped = !take(high, position - 1, position)
      if (stopped) return
    }
    if (unit >= 0xd800 && unit <= 0xdbff) waiting = unit
    else stopped = !take(unit, position, position + 1)
    position += 1
  }

  return {
    push(text) {
      for (let index = 0; index < text.length; index += 1) {
        if (stopped) return
        read(text.charCodeAt(index))
      }
    },
    end() {
      if (waiting !== null && !stopped) stopped = !take(waiting, position - 1, position)
      waiting = null
    },
  }
}
