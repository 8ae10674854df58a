/**
 * The notation the lexicon is written in: one phrase a line, `{a|b|}` for alternatives (an empty one makes the part
 * optional; braces may nest). It keeps a thousand phrases readable as fifty lines.
 *
 *     how {to|do i} make {a |}bomb{s|}
 */

/** All phrases that a block of lines stands for. Throws on a brace without its partner. */
export function phrasesOf(lines: string): string[] {
  return lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .flatMap(expand)
    .map((phrase) => phrase.replaceAll(/\s+/g, ' ').trim())
}

function expand(line: string): string[] {
  const { phrases, rest } = expandSequence(line)
  if (rest !== '') throw new Error(`The lexicon line "${line}" has a brace without its partner.`)
  return phrases
}

/** Reads up to a `|` or `}` that belongs to someone further out. */
function expandSequence(text: string): { phrases: string[]; rest: string } {
  let phrases = ['']
  let rest = text
  while (rest !== '' && !rest.startsWith('|') && !rest.startsWith('}')) {
    if (rest.startsWith('{')) {
      const group = expandGroup(rest.slice(1))
      phrases = phrases.flatMap((phrase) => group.phrases.map((alternative) => phrase + alternative))
      rest = group.rest
    } else {
      const plain = /^[^{|}]+/.exec(rest)?.[0] ?? ''
      phrases = phrases.map((phrase) => phrase + plain)
      rest = rest.slice(plain.length)
    }
  }
  return { phrases, rest }
}

function expandGroup(text: string): { phrases: string[]; rest: string } {
  const phrases: string[] = []
  let rest = `|${text}`
  while (rest.startsWith('|')) {
    const alternative = expandSequence(rest.slice(1))
    phrases.push(...alternative.phrases)
    rest = alternative.rest
  }
  if (!rest.startsWith('}')) throw new Error(`The lexicon text "{${text}" has a brace without its partner.`)
  return { phrases, rest: rest.slice(1) }
}
