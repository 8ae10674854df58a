/**
 * Learns the merges of a byte-level BPE tokenizer from texts (Sennrich et al., 2016, "Neural Machine Translation of Rare
 * Words with Subword Units"): the most frequent pair of neighbours inside words becomes a token, again and again. For
 * corpora of a few pages; it counts all pairs anew for each merge.
 */
import { spellBytes } from '../byte-level-tokenizer.ts'

/** GPT-2's split of a text into words: no merge crosses it. */
const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

/** At most `count` merges, fewer when no pair occurs twice any more. Ties go to the pair that comes first by spelling. */
export function learnMerges(texts: readonly string[], count: number): (readonly [string, string])[] {
  const counts = new Map<string, number>()
  for (const word of texts.flatMap((text) => text.match(words) ?? [])) counts.set(word, (counts.get(word) ?? 0) + 1)
  const split = [...counts].map(([word, times]) => ({ parts: [...spellBytes(new TextEncoder().encode(word))], times }))
  const merges: (readonly [string, string])[] = []
  while (merges.length < count) {
    const pairs = new Map<string, number>()
    for (const { parts, times } of split) {
      for (let index = 1; index < parts.length; index++) {
        const pair = `${parts[index - 1]} ${parts[index]}`
        pairs.set(pair, (pairs.get(pair) ?? 0) + times)
      }
    }
    const [best] = [...pairs].toSorted(([a, aTimes], [b, bTimes]) => bTimes - aTimes || (a < b ? -1 : 1))
    if (best === undefined || best[1] < 2) break
    const [left, right] = best[0].split(' ') as [string, string]
    merges.push([left, right])
    for (const word of split) word.parts = mergeIn(word.parts, left, right)
  }
  return merges
}

function mergeIn(parts: readonly string[], left: string, right: string): string[] {
  const merged: string[] = []
  for (let index = 0; index < parts.length; index++) {
    const isPair = parts[index] === left && parts[index + 1] === right
    merged.push(isPair ? left + right : parts[index]!)
    if (isPair) index++
  }
  return merged
}
