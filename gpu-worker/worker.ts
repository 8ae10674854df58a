/**
 * A worker put together from its parts: model, engine, tokenizer, queue. It knows nothing of processes and signals.
 */
import type { Logger } from 'pino'
import { defaultPolicy } from '../safety/policy.ts'
import { createGrantVerifier } from '../shared/grant.ts'
import type { ModelRegistration } from '../shared/model-registration.ts'
import type { Configuration } from './configuration.ts'
import { createEngine } from './engine/create-engine.ts'
import { loadTokenizer } from './engine/tokenizer.ts'
import type { CompileProgress } from './model/compile.ts'
import { resolveModel } from './model/resolve.ts'
import { startConsumer } from './queue/consumer.ts'
import { closeRedis, connectToRedis } from './queue/redis-connection.ts'
import { createQueueScripts } from './queue/scripts.ts'
import { registerModel } from './register-model.ts'
import { createJobRunner } from './run-job.ts'

export interface WorkerOptions {
  readonly configuration: Configuration
  /** Unique among all workers. */
  readonly worker: string
  readonly log: Logger
  /** What the worker is doing until it is ready, for a person. */
  readonly onProgress: (detail: string) => void
  /** The engine has died; the worker leaves its jobs to others and can only be stopped. May be called more than once. */
  readonly onEngineLost: () => void
  /** Gives up starting; without effect once the worker is ready. */
  readonly signal: AbortSignal
}

export interface Worker {
  readonly registration: ModelRegistration
  /** Takes no more jobs, gives running ones time to end, ends or leaves the others, and closes everything. */
  stop(): Promise<void>
}

/** How long writing the last events may take when the worker stops and Redis is away. */
const farewellMs = 500

/** Resolves when the worker takes jobs. Throws when the model or the engine can not be had; waits for Redis for ever. */
export async function startWorker({ configuration, worker, log, onProgress, onEngineLost, signal }: WorkerOptions): Promise<Worker> {
  const { redisUrl, model, home, grantKey, slots, lease, drainMs } = configuration
  const startedAt = Date.now()
  const verifyGrant = await createGrantVerifier(grantKey)
  const { folder, manifest } = await resolveModel({ model, home, onProgress: (progress) => onProgress(modelDetail(progress)), signal })
  onProgress('loading the model')
  const engine = await createEngine({ modelFolder: folder, ...(slots !== undefined && { slots }) })
  const tokenizer = await loadTokenizer(folder)

  signal.throwIfAborted()
  onProgress('waiting for Redis')
  const redis = connectToRedis(redisUrl, `${worker}-commands`, log)
  const reader = connectToRedis(redisUrl, `${worker}-reader`, log)
  const registration: ModelRegistration = {
    id: manifest.modelId,
    weightsDigest: manifest.weightsDigest,
    precision: manifest.precision,
    contextLength: engine.description.contextLength,
    vocabularySize: manifest.vocabularySize,
    licence: manifest.licence,
    created: manifest.created,
    ownedBy: manifest.ownedBy,
    startedAt,
  }
  const disconnect = (): void => {
    closeRedis(redis)
    closeRedis(reader)
  }
  signal.addEventListener('abort', disconnect, { once: true })
  const registrar = await registerModel(redis, registration, log)
  signal.removeEventListener('abort', disconnect)
  const scripts = createQueueScripts(redis)
  const runJob = createJobRunner({
    engine,
    tokenizer,
    policy: defaultPolicy,
    verifyGrant,
    scripts,
    worker,
    askMs: lease.renewMs,
    onEngineLost,
    log,
  })
  const consumer = startConsumer({
    redis,
    reader,
    scripts,
    model: manifest.modelId,
    consumer: worker,
    // A few wait here for a slot, so that none stands empty while the next job is fetched.
    capacity: engine.description.slots + Math.ceil(engine.description.slots / 4),
    lease,
    run: runJob,
    log,
  })

  return {
    registration,
    async stop() {
      const cutOff = setTimeout(() => closeRedis(redis), drainMs + farewellMs)
      await Promise.all([
        consumer.stop(drainMs),
        registrar.stop().catch((error: unknown) => log.warn({ err: error }, 'The registration could not be shortened; it will expire')),
      ])
      clearTimeout(cutOff)
      await engine.close()
      closeRedis(redis)
    },
  }
}

function modelDetail({ phase, doneBytes, totalBytes }: CompileProgress): string {
  return `${phase} the model: ${totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes)} %`
}
