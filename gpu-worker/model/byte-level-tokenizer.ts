/**
 * A tokenizer.json in the style of GPT-2 and CodeGen, which Phi uses: byte-level BPE. Token ids are the 256 bytes in
 * GPT-2's order, then one token per merge, then vocabulary entries that no merge produces (so that they decode but text
 * never encodes to them), then `<|endoftext|>`. It makes tokenizers for checkpoints of our own; it does not read any.
 */

export const endOfText = '<|endoftext|>'

/** GPT-2 writes each byte as one visible character: itself where it is visible, else U+0100 upwards. */
const characterOfByte: readonly string[] = (() => {
  const isVisible = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad)
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isVisible(byte) ? byte : next++))
})()

/** The 256 bytes, in the order of their token ids: the visible ones first, then the others. */
const byteOrder: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).toSorted(
  (a, b) => characterOfByte[a]!.charCodeAt(0) - characterOfByte[b]!.charCodeAt(0),
)

/** How bytes are spelled in the vocabulary of a byte-level tokenizer. */
export function spellBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => characterOfByte[byte]!).join('')
}

/** Token id of a single byte. */
export function byteToken(byte: number): number {
  return byteOrder.indexOf(byte)
}

export interface ByteLevelTokenizer {
  /** Content of tokenizer.json. */
  readonly json: Record<string, unknown>
  /** Number of tokens; ids are 0 to size - 1. */
  readonly size: number
  readonly endOfTextToken: number
  /** Token id of a spelling, see `spellBytes`. */
  readonly idOf: ReadonlyMap<string, number>
}

export interface TokenizerParts {
  /** Pairs of spellings, the most important first. */
  readonly merges?: readonly (readonly [string, string])[]
  /** Spellings of further vocabulary entries; each must be new. */
  readonly unreachable?: readonly string[]
}

export function byteLevelTokenizer({ merges = [], unreachable = [] }: TokenizerParts = {}): ByteLevelTokenizer {
  const idOf = new Map<string, number>()
  const add = (spelling: string): void => {
    if (idOf.has(spelling)) throw new Error(`The vocabulary entry ${JSON.stringify(spelling)} is there twice.`)
    idOf.set(spelling, idOf.size)
  }
  for (const byte of byteOrder) add(characterOfByte[byte]!)
  for (const [left, right] of merges) add(left + right)
  for (const spelling of unreachable) add(spelling)
  const endOfTextToken = idOf.size
  add(endOfText)
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    size: idOf.size,
    endOfTextToken,
    idOf,
    json: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [
        { id: endOfTextToken, content: endOfText, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
      ],
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: byteLevel,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        vocab: Object.fromEntries(idOf),
        merges: merges.map(([left, right]) => `${left} ${right}`),
      },
    },
  }
}
