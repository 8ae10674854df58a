/**
 * The engine as the rest of the worker sees it: hands sequences to the engine's thread and turns its reports back into
 * one iteration per sequence. When the thread is gone, everything that runs ends with an error, and so does what comes.
 */
import type { Worker } from 'node:worker_threads'
import { EngineError } from './engine.ts'
import type { Engine, EngineDescription, EngineStatistics, SequenceRequest, SequenceStep } from './engine.ts'
import type { EngineCommand, EngineReport, SequenceUpdate } from './engine-messages.ts'
import { bansEverything } from './logits-processing.ts'

/** What has arrived for a sequence and was not yielded yet. */
interface Inbox {
  steps: SequenceStep[]
  failure: EngineError | null
  /** The thread holds nothing of this sequence any more. */
  ended: boolean
  wake: () => void
}

/** Resolves when the thread is ready. Throws `EngineError` `start-failed` when it gives up or ends before. */
export async function connectEngine(thread: Worker, description: EngineDescription): Promise<Engine> {
  const inboxes = new Map<number, Inbox>()
  /** Why no more sequences are taken. */
  let gone: EngineError | null = null
  let nextId = 1
  let statistics: EngineStatistics = { computedPromptTokens: 0, reusedPromptTokens: 0 }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const send = (command: EngineCommand): void => thread.postMessage(command)

  function failAll(error: EngineError): void {
    gone ??= error
    for (const inbox of inboxes.values()) {
      inbox.failure ??= gone
      inbox.ended = true
      inbox.wake()
    }
  }

  function deliver({ id, steps, failure }: SequenceUpdate): void {
    const inbox = inboxes.get(id)
    if (inbox === undefined) return
    inbox.steps.push(...steps)
    if (failure !== null) inbox.failure = new EngineError(failure.failure, failure.message)
    inbox.ended = failure !== null || inbox.steps.at(-1)?.type === 'end'
    inbox.wake()
  }

  const exited = new Promise<void>((resolve) => {
    thread.once('exit', () => {
      failAll(new EngineError('thread-died', "The engine's thread has ended."))
      resolve()
    })
  })
  const onFailure = (message: string, cause?: unknown): void =>
    failAll(new EngineError('thread-died', `The engine's thread has failed: ${message}`, { cause }))
  thread.on('error', (cause) => onFailure(String(cause), cause))
  await new Promise<void>((resolve, reject) => {
    thread.on('message', (report: EngineReport) => {
      if (report.type === 'ready') resolve()
      else if (report.type === 'turn') {
        statistics = report.statistics
        report.updates.forEach(deliver)
      } else {
        reject(new EngineError('start-failed', report.message))
        onFailure(report.message)
      }
    })
    void exited.then(() => reject(new EngineError('start-failed', gone?.message ?? '', { cause: gone?.cause })))
  })

  async function* generate(request: SequenceRequest, signal: AbortSignal): AsyncGenerator<readonly SequenceStep[]> {
    checkRequest(request, description)
    if (signal.aborted) return
    if (gone !== null) throw gone
    const id = nextId++
    const inbox: Inbox = { steps: [], failure: null, ended: false, wake: () => undefined }
    const onAbort = (): void => inbox.wake()
    inboxes.set(id, inbox)
    signal.addEventListener('abort', onAbort)
    send({ type: 'start', id, request })
    try {
      while (!signal.aborted) {
        if (inbox.steps.length > 0) {
          const steps = inbox.steps
          inbox.steps = []
          yield steps
        } else if (inbox.failure !== null) throw inbox.failure
        else if (inbox.ended) return
        else await new Promise<void>((resolve) => (inbox.wake = resolve))
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      inboxes.delete(id)
      if (!inbox.ended) send({ type: 'cancel', id })
    }
  }

  return {
    description,
    get statistics() {
      return statistics
    },
    generate,
    async close() {
      if (gone === null) {
        failAll(new EngineError('closed', 'The engine was closed.'))
        send({ type: 'close' })
      }
      await exited
    },
  }
}

/** Throws `RangeError` for a request that no caller should make; one bad sequence could stop others beside it. */
function checkRequest(request: SequenceRequest, { contextLength, vocabularySize }: EngineDescription): void {
  const { tokens, maxTokens, logprobs, scorePrompt } = request
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0
  if (tokens.length === 0) throw new RangeError('A sequence needs at least one token.')
  if (bansEverything(request, vocabularySize)) throw new RangeError('A sequence needs a token that it may take.')
  if (!tokens.every((token) => isCount(token) && token < vocabularySize)) throw new RangeError(`Tokens are 0 to ${vocabularySize - 1}.`)
  if (!isCount(maxTokens)) throw new RangeError('The tokens to sample must be a count.')
  // By the worst case: what has started must never run out of its slot.
  if (tokens.length + maxTokens > contextLength) {
    throw new RangeError(`A sequence has ${contextLength} tokens at most, and this one can never fit: ${tokens.length} in its prompt and ${maxTokens} to sample.`)
  }
  if (scorePrompt && logprobs === null) throw new RangeError('Scoring the prompt needs logprobs.')
}
