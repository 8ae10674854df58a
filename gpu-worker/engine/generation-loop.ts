/**
 * The work of the engine's thread, one turn at a time: a bounded amount of work on prompts, so that they do not hold up
 * the sequences that run, then one new token for each of those. Who runs is the scheduler's decision, what a token is the
 * sampler's; this file carries data between them, the cache, the prefix store and the forward pass.
 *
 * The bound, in prompt tokens: a turn computes at most `chunkTokens` of them, of one long prompt or of several short ones.
 * A forward pass of a few tokens takes longer than its tokens let expect, because it reads all weights, and restoring a
 * prefix is not free either; both are charged to the same account. So between two tokens of a running sequence lie at most
 * `chunkTokens` prompt tokens in `chunkTokens / passCharge` forward passes (rounded up), one step of the whole batch, and
 * the copying of `chunkTokens * restoredPerCharge` positions and one slot.
 *
 * A failure ends the sequences that it touched and no others. Commands are taken between turns only.
 */
import { EngineError } from './engine.ts'
import type { EngineStatistics, SequenceRequest, SequenceStep, TokenScore } from './engine.ts'
import type { SequenceUpdate } from './engine-messages.ts'
import type { ForwardPass } from './forward-pass.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { createLogitsProcessing } from './logits-processing.ts'
import type { LogitsProcessing } from './logits-processing.ts'
import type { PrefixStore, PromptPrefix } from './prefix-store.ts'
import type { Sampler } from './sampler.ts'
import { createScheduler } from './scheduler.ts'
import type { Move } from './scheduler.ts'

export interface GenerationLoop {
  start(id: number, request: SequenceRequest): void
  /** Forgets a sequence and frees its slot; harmless when it has ended. */
  cancel(id: number): void
  /** True when a turn would do nothing. */
  readonly idle: boolean
  readonly statistics: EngineStatistics
  /** Never rejects; returns what is new of each sequence. */
  turn(): Promise<readonly SequenceUpdate[]>
}

export interface GenerationLoopOptions {
  readonly forwardPass: ForwardPass
  readonly cache: KeyValueCache
  readonly prefixes: PrefixStore
  readonly sampler: Sampler
  readonly vocabularySize: number
  /** Prompt tokens per turn at most. */
  readonly chunkTokens: number
}

/** A forward pass is charged as this many tokens at least. On CPUs and GPUs alike it reads all weights for any number. */
const passCharge = 16

/** Restored tokens that are charged as one computed one; divides a block. Copying a row takes a small part of computing it. */
const restoredPerCharge = 16

interface Sequence {
  readonly id: number
  readonly request: SequenceRequest
  /** What it does to the model's logits; null for nothing. */
  readonly processing: LogitsProcessing | null
  /** What it shares with other prompts; null until its prefill begins. */
  prefix: PromptPrefix | null
  /** Positions that are in the cache. */
  length: number
  /** The last sampled token; it enters the cache with the next step. */
  lastToken: number
  /** Tokens sampled so far. */
  sampled: number
  readonly promptScores: TokenScore[]
}

export function createGenerationLoop({ forwardPass, cache, prefixes, sampler, vocabularySize, chunkTokens }: GenerationLoopOptions): GenerationLoop {
  const scheduler = createScheduler<Sequence>(cache.slots)
  const sequences = new Map<number, Sequence>()
  const statistics = { computedPromptTokens: 0, reusedPromptTokens: 0 }
  let updates = new Map<number, { steps: SequenceStep[]; failure: SequenceUpdate['failure'] }>()

  const updateOf = ({ id }: Sequence): { steps: SequenceStep[]; failure: SequenceUpdate['failure'] } => {
    let update = updates.get(id)
    if (update === undefined) updates.set(id, (update = { steps: [], failure: null }))
    return update
  }
  const emit = (sequence: Sequence, step: SequenceStep): void => void updateOf(sequence).steps.push(step)
  const row = (logits: Float32Array, index: number): Float32Array => logits.subarray(index * vocabularySize, (index + 1) * vocabularySize)
  const makeMove = (sequence: Sequence, move: Move | null): void => {
    if (move !== null) cache.move(move.from, move.to, sequence.length)
  }

  function leave(sequence: Sequence, content: 'sound' | 'unknown'): void {
    sequences.delete(sequence.id)
    const { slot, move } = scheduler.remove(sequence)
    if (content === 'unknown') {
      if (slot !== null) cache.clear(slot, sequence.length)
      sequence.prefix?.abandon()
    }
    if (move !== null) makeMove(scheduler.decoding[move.to]!, move)
  }

  /**
   * The sequence must leave after this. Its slot is cleared here, before anything is moved: where a graph computes masked
   * positions and does not skip them, a NaN that stayed behind would reach the next user of the slot.
   */
  function fail(sequence: Sequence, slot: number, error: unknown): void {
    cache.clear(slot, sequence.length)
    updateOf(sequence).failure =
      error instanceof EngineError
        ? { failure: error.failure, message: error.message }
        : { failure: 'forward-pass-failed', message: error instanceof Error ? error.message : String(error) }
    sequence.prefix?.condemn()
  }

  /** Samples the next token; returns whether the sequence has ended with it. */
  function takeToken(sequence: Sequence, logits: Float32Array): boolean {
    const { request } = sequence
    const token = sampler.sample(logits, request.sampling, request.tokens.length + sequence.sampled, sequence.processing)
    const score = request.logprobs === null ? null : sampler.score(logits, token, request.logprobs)
    sequence.processing?.push(token)
    sequence.lastToken = token
    sequence.sampled++
    emit(sequence, { type: 'token', token, score })
    const ended = request.endTokens.includes(token) ? 'end-token' : sequence.sampled >= request.maxTokens ? 'length' : null
    if (ended !== null) emit(sequence, { type: 'end', reason: ended })
    return ended !== null
  }

  /** Computes prompts in the order of their arrival until the turn's account is used up. */
  async function prefillPrompts(): Promise<void> {
    let account = chunkTokens
    while (account > 0) {
      const next = scheduler.prefilling()
      if (next === null) return
      try {
        account -= next.sequence.prefix === null ? beginPrompt(next.sequence, next.slot) : await prefillChunk(next.sequence, next.slot, account)
      } catch (error) {
        fail(next.sequence, next.slot, error)
        leave(next.sequence, 'sound')
        return
      }
    }
  }

  /** Restores what is known of a prompt's beginning; returns what to charge for it. */
  function beginPrompt(sequence: Sequence, slot: number): number {
    const { tokens, maxTokens, scorePrompt, isolation } = sequence.request
    sequence.prefix = prefixes.open(tokens, isolation)
    // Scores need the logits of all positions, and a prompt that nothing is asked of needs no rows.
    if (scorePrompt || maxTokens === 0) return 0
    sequence.length = sequence.prefix.restore(slot)
    statistics.reusedPromptTokens += sequence.length
    return sequence.length / restoredPerCharge
  }

  /** Computes at most `most` tokens of a prompt; returns what to charge for them. */
  async function prefillChunk(sequence: Sequence, slot: number, most: number): Promise<number> {
    const { tokens, maxTokens, scorePrompt, logprobs } = sequence.request
    // The logits of the last position are about a token that a mere scoring does not ask for.
    const needed = maxTokens > 0 ? tokens.length : scorePrompt ? tokens.length - 1 : 0
    const from = sequence.length
    const chunk = tokens.slice(from, Math.min(from + most, needed))
    const wanted = Array.from(chunk.keys()).filter((index) => scorePrompt || from + index === tokens.length - 1)
    let logits: Float32Array = new Float32Array(0)
    if (chunk.length > 0) {
      // Counted before the run: a run that fails half way has written some of them.
      sequence.length += chunk.length
      logits = await forwardPass.run({ firstSlot: slot, lengths: [sequence.length], tokens: chunk, wanted })
      statistics.computedPromptTokens += chunk.length
      sequence.prefix?.save(slot, sequence.length)
    }
    const charge = chunk.length === 0 ? 0 : Math.max(chunk.length, passCharge)
    if (scorePrompt) {
      for (const [index] of wanted.entries()) {
        const token = tokens[from + index + 1]
        if (token !== undefined) sequence.promptScores.push(sampler.score(row(logits, index), token, logprobs ?? 0))
      }
    }
    if (sequence.length < needed) return charge
    if (scorePrompt) {
      emit(sequence, { type: 'prompt-scores', scores: [{ token: tokens[0]!, logprob: null, top: [] }, ...sequence.promptScores] })
    }
    if (maxTokens === 0) emit(sequence, { type: 'end', reason: 'length' })
    const ended = maxTokens === 0 || takeToken(sequence, row(logits, wanted.length - 1))
    sequence.prefix?.prove()
    if (ended) leave(sequence, 'sound')
    else makeMove(sequence, scheduler.join())
    return charge
  }

  async function decodeStep(): Promise<void> {
    const batch = [...scheduler.decoding]
    if (batch.length === 0) return
    for (const sequence of batch) sequence.length++
    let logits: Float32Array
    try {
      logits = await forwardPass.run({
        firstSlot: 0,
        lengths: batch.map(({ length }) => length),
        tokens: batch.map(({ lastToken }) => lastToken),
        wanted: Array.from(batch.keys()),
      })
    } catch (error) {
      batch.forEach((sequence, slot) => fail(sequence, slot, error))
      for (const sequence of batch) leave(sequence, 'sound')
      return
    }
    const leaving = batch.filter((sequence, slot) => {
      try {
        return takeToken(sequence, row(logits, slot))
      } catch (error) {
        fail(sequence, slot, error)
        return true
      }
    })
    for (const sequence of leaving) leave(sequence, 'sound')
  }

  return {
    start(id, request) {
      const processing = createLogitsProcessing(request)
      const sequence: Sequence = { id, request, processing, prefix: null, length: 0, lastToken: 0, sampled: 0, promptScores: [] }
      sequences.set(id, sequence)
      scheduler.add(sequence)
    },
    cancel(id) {
      const sequence = sequences.get(id)
      if (sequence !== undefined) leave(sequence, 'unknown')
    },
    get idle() {
      return scheduler.idle
    },
    get statistics() {
      return { ...statistics }
    },
    async turn() {
      updates = new Map()
      await prefillPrompts()
      await decodeStep()
      return Array.from(updates, ([id, update]) => ({ id, ...update }))
    },
  }
}
