/**
 * Writes a real Phi checkpoint whose greedy output is a chosen text, for tests that must know what a model will say: a
 * stop sequence here, half a character there, a forbidden word in mid-sentence. It runs through the normal loader,
 * compiler and engine.
 *
 * By construction: attention and MLP add nothing to the residual (their last matrices are zero, though they compute),
 * so the logits are a function of the current token. Each token has a state, a random vector of +1 and -1; the row of
 * a token in lm_head is the state of the token that it follows. All byte tokens share one state, whose successor is the
 * first piece of the script: any prompt starts it. The right token's logit leads by more than 10, so that sampling at
 * temperature 1 tells the same story.
 */
import { mkdir } from 'node:fs/promises'
import { byteLevelTokenizer, byteToken, spellBytes } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { phiTensors } from '../../gpu-worker/model/phi-configuration.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { writeCheckpointFiles } from '../../gpu-worker/model/random-checkpoint.ts'
import { balancedSigns, normalGenerator, uniformGenerator } from '../../gpu-worker/model/random-numbers.ts'
import { writeSafetensors } from '../../gpu-worker/model/safetensors-writer.ts'

export type ScriptPiece = string | Uint8Array

export interface ScriptedCheckpoint {
  readonly folder: string
  /**
   * One piece is one token. A piece is told from another by its bytes, so each may come once only (see `scriptPieces`),
   * and one of a single ASCII character is refused, because a prompt may end in it. `<|endoftext|>` follows the last.
   */
  readonly script: readonly ScriptPiece[]
  /** Other scripts, for prompts that end in the given ASCII character. */
  readonly triggers?: Readonly<Record<string, readonly ScriptPiece[]>>
  /** The first piece follows the last, for ever; end of text never comes. */
  readonly loop?: boolean
  /** Default 512. */
  readonly contextLength?: number
  /** Default 2. */
  readonly layers?: number
  /** A multiple of 32, default 128; 2 heads. */
  readonly hidden?: number
}

/**
 * Makes the folder when it is missing. Pieces become vocabulary entries that no merge reaches, so that encoding a prompt
 * never yields them. Throws for a piece that is empty, repeated or a single ASCII character.
 */
export async function writeScriptedCheckpoint(options: ScriptedCheckpoint): Promise<void> {
  const { folder, script, triggers = {}, loop = false, contextLength = 512, layers = 2, hidden = 128 } = options
  const scripts = [script, ...Object.values(triggers)].map((pieces) => pieces.map(asBytes))
  for (const piece of scripts.flat()) {
    if (piece.length === 0 || (piece.length === 1 && piece[0]! < 0x80)) {
      throw new Error(`A piece of a script needs at least two bytes, or one above 0x7f: ${JSON.stringify(new TextDecoder().decode(piece))}`)
    }
  }
  const tokenizer = byteLevelTokenizer({ unreachable: scripts.flat().filter((piece) => piece.length > 1).map(spellBytes) })
  const configuration: PhiConfiguration = {
    hiddenSize: hidden,
    intermediateSize: 2 * hidden,
    layers,
    heads: 2,
    headSize: hidden / 2,
    rotarySize: 16,
    ropeTheta: 10_000,
    layerNormEpsilon: 1e-5,
    contextLength,
    vocabularySize: tokenizer.size,
    endTokens: [tokenizer.endOfTextToken],
  }

  const uniform = uniformGenerator(1)
  const startState = balancedSigns(hidden, uniform)
  const stateOf = Array.from({ length: tokenizer.size }, () => startState)
  const followedStates = Array.from({ length: tokenizer.size }, (): Float32Array[] => [])
  const play = (pieces: readonly Uint8Array[], firstState: Float32Array): void => {
    const tokens = pieces.map((piece) => (piece.length === 1 ? byteToken(piece[0]!) : tokenizer.idOf.get(spellBytes(piece))!))
    let state = firstState
    for (const token of tokens) {
      if (stateOf[token] !== startState) throw new Error('A piece of a script may come once only.')
      followedStates[token]!.push(state)
      state = balancedSigns(hidden, uniform)
      stateOf[token] = state
    }
    followedStates[(loop ? tokens[0] : undefined) ?? tokenizer.endOfTextToken]!.push(state)
  }
  play(scripts[0]!, startState)
  Object.keys(triggers).forEach((character, index) => {
    if (!/^[\x20-\x7e]$/.test(character)) throw new Error(`A trigger is one printable ASCII character, not ${JSON.stringify(character)}.`)
    const state = balancedSigns(hidden, uniform)
    stateOf[byteToken(character.charCodeAt(0))] = state
    play(scripts[index + 1]!, state)
  })

  const normal = normalGenerator(2)
  // The normalised state has squared length `hidden`: the successor's logit is 40, another's about 40 / sqrt(hidden) at most some sigmas.
  const scale = 40 / hidden
  await mkdir(folder, { recursive: true })
  await writeCheckpointFiles(folder, configuration, 'F32', tokenizer.json)
  await writeSafetensors({
    folder,
    shapes: phiTensors(configuration),
    type: 'F32',
    values: (name, shape) => {
      const size = shape.reduce((product, length) => product * length, 1)
      if (name === 'model.embed_tokens.weight') return flatten(stateOf, hidden)
      if (name === 'lm_head.weight') return flatten(followedStates.map((states) => sum(states, hidden, scale)), hidden)
      if (name.endsWith('layernorm.weight')) return new Float32Array(size).fill(1)
      const addsNothing = name.endsWith('.bias') || name.includes('.dense.') || name.includes('.fc2.')
      return Float32Array.from({ length: size }, () => (addsNothing ? 0 : normal() / Math.sqrt(hidden)))
    },
  })
}

/** Cuts a text into words with the space before them, joining what would repeat an earlier piece to the word after it. */
export function scriptPieces(text: string): string[] {
  const pieces = new Set<string>()
  let piece = ''
  for (const word of text.match(/\s*\S+|\s+$/g) ?? []) {
    piece += word
    if (piece.length > 1 && !pieces.has(piece)) {
      pieces.add(piece)
      piece = ''
    }
  }
  if (piece !== '') throw new Error('The text ends in a word that repeats an earlier piece; end it with something new.')
  return [...pieces]
}

function sum(states: readonly Float32Array[], length: number, scale: number): Float32Array {
  return Float32Array.from({ length }, (_, index) => states.reduce((total, state) => total + scale * state[index]!, 0))
}

function flatten(rows: readonly Float32Array[], width: number): Float32Array {
  const values = new Float32Array(rows.length * width)
  rows.forEach((row, index) => values.set(row, index * width))
  return values
}

function asBytes(piece: ScriptPiece): Uint8Array {
  return typeof piece === 'string' ? new TextEncoder().encode(piece) : piece
}
