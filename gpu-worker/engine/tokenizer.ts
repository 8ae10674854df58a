/**
 * Text to tokens and back for the byte-level BPE tokenizers of the GPT-2 family, of which Phi's is one. Encoding is the
 * work of @huggingface/tokenizers. Decoding is a table from token to bytes: each vocabulary entry spells bytes, one
 * visible character per byte (`bytes_to_unicode` in openai/gpt-2, src/encoder.py), and an added token is plain text.
 *
 * A prompt is a user's text: `<|endoftext|>` in it is encoded as these thirteen characters and never as the control
 * token. So the encoder is built from a tokenizer.json without its special tokens; other added tokens, such as Phi's
 * runs of spaces, stay. This file knows no chat templates.
 */
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { z } from 'zod'
import { spellBytes } from '../model/byte-level-tokenizer.ts'
import { tokenizerFile } from '../model/manifest.ts'
import { modelError } from '../model/model-error.ts'
import { readJsonFile } from '../model/read-json.ts'

export interface Tokenizer {
  /** The text's tokens, without start or end tokens; lone surrogates are encoded as U+FFFD. */
  encode(text: string): number[]
  /** The text of the tokens; special tokens have none, and bytes that are not UTF-8 become U+FFFD. */
  decode(tokens: readonly number[]): string
  /** The bytes that a token spells; for a special token its name, `<|endoftext|>`. Empty for an id that is not in use. */
  tokenBytes(token: number): Uint8Array
  /** Whether the token is a control token, which stands for no text. */
  isSpecial(token: number): boolean
  /** The highest token id plus one; a model's vocabulary may be padded beyond it. */
  readonly vocabularySize: number
}

const tokenizerSchema = z.looseObject({
  model: z.looseObject({ type: z.literal('BPE'), vocab: z.record(z.string(), z.int().nonnegative()) }),
  decoder: z.looseObject({ type: z.literal('ByteLevel') }),
  normalizer: z.unknown().default(null),
  pre_tokenizer: z.unknown().default(null),
  post_processor: z.unknown().default(null),
  added_tokens: z
    .array(z.looseObject({ id: z.int().nonnegative(), content: z.string().min(1), special: z.boolean().default(false) }))
    .default([]),
})

const byteOfCharacter = new Map(Array.from({ length: 256 }, (_, byte) => [spellBytes(Uint8Array.of(byte)), byte]))

/** Reads a folder's tokenizer.json. Throws `ModelError`: `not-found`, `damaged`, or `unsupported` when it is not byte-level BPE. */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, tokenizerFile)
  const json = await readJsonFile(path, tokenizerSchema)
  if (json === undefined) throw modelError('not-found', `${folder} has no ${tokenizerFile}.`)
  return createTokenizer(json)
}

/** Makes a tokenizer of the content of a tokenizer.json. Throws `ZodError` or `ModelError` `unsupported`. */
export function createTokenizer(content: unknown): Tokenizer {
  const json = tokenizerSchema.parse(content)
  const special = new Set(json.added_tokens.filter((token) => token.special).map(({ id }) => id))
  const vocab = Object.fromEntries(Object.entries(json.model.vocab).filter(([, id]) => !special.has(id)))
  const bytesOfToken: Uint8Array[] = []
  for (const [spelling, id] of Object.entries(vocab)) {
    bytesOfToken[id] = Uint8Array.from(spelling, (character) => {
      const byte = byteOfCharacter.get(character)
      if (byte === undefined) throw modelError('unsupported', `The tokenizer's entry ${JSON.stringify(spelling)} does not spell bytes.`)
      return byte
    })
  }
  for (const { id, content: text } of json.added_tokens) bytesOfToken[id] = new TextEncoder().encode(text)
  const withoutSpecial = { ...json, model: { ...json.model, vocab }, added_tokens: json.added_tokens.filter(({ id }) => !special.has(id)) }
  // The library checks the rest of the format itself.
  const encoder = new HuggingFaceTokenizer(withoutSpecial as unknown as ConstructorParameters<typeof HuggingFaceTokenizer>[0], {})
  const noBytes = new Uint8Array(0)

  const tokenizer: Tokenizer = {
    encode: (text) => (text === '' ? [] : encoder.encode(text, { add_special_tokens: false }).ids),
    decode(tokens) {
      const detokenizer = createDetokenizer(tokenizer)
      return tokens.map((token) => detokenizer.push(token)).join('') + detokenizer.end()
    },
    tokenBytes: (token) => bytesOfToken[token] ?? noBytes,
    isSpecial: (token) => special.has(token),
    vocabularySize: bytesOfToken.length,
  }
  return tokenizer
}

export interface Detokenizer {
  /** Returns the text that the token completes; a character appears with its last byte. */
  push(token: number): string
  /** No more tokens come: an unfinished character becomes U+FFFD. */
  end(): string
}

/** Decodes tokens one at a time; all pieces together are `decode` of all tokens. */
export function createDetokenizer(tokenizer: Pick<Tokenizer, 'tokenBytes' | 'isSpecial'>): Detokenizer {
  // A byte order mark is a character like any other here.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push: (token) => (tokenizer.isSpecial(token) ? '' : decoder.decode(tokenizer.tokenBytes(token), { stream: true })),
    end: () => decoder.decode(),
  }
}
