/**
 * What the gateway costs: the same one-token job sent through the edge (HTTP, key, licence, moderation, grant, SSE) and
 * straight to Redis (XADD, then XREAD until the end), in alternating rounds of one run against one worker.
 *
 *     node bench/gateway/main.ts [--rounds 5] [--requests 200] [--concurrency 32]
 *
 * The load generator shares the machine with the system it measures, so the ratios say more than the figures.
 */
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { loadSecrets } from '../../cli/start/secrets.ts'
import { createGrantSigner, promptHash } from '../../shared/grant.ts'
import { createId } from '../../shared/ids.ts'
import { jobVersion } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'
import { modelRegistrationSchema } from '../../shared/model-registration.ts'
import { jobsKey, modelKey, resultKey } from '../../shared/redis-keys.ts'
import { isTerminal } from '../../shared/stream-events.ts'
import { readServerSentEvents } from '../../test/support/read-sse.ts'
import { startSystem } from '../../test/support/system.ts'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '200' },
    concurrency: { type: 'string', default: '32' },
  },
})
const rounds = Number(options.rounds)
const requests = Number(options.requests)
const concurrency = Number(options.concurrency)
const model = 'phi-mini'
const prompt = 'Hello'

/** Sends one job, returns the milliseconds until its first text and until its end. */
type Send = () => Promise<{ first: number; end: number }>

const system = await startSystem()
const clients: Redis[] = []
try {
  const secrets = await loadSecrets(system.home)
  const sign = await createGrantSigner(secrets.grantKey)
  const registry = new Redis(system.dev.redisUrl)
  clients.push(registry)
  const registration = modelRegistrationSchema.parse(JSON.parse((await registry.get(modelKey(model))) ?? '{}'))

  const throughEdge: Send = async () => {
    const started = performance.now()
    let first = 0
    const response = await system.post('/v1/completions', { model, prompt, max_tokens: 1, temperature: 0, ignore_eos: true, stream: true })
    for await (const data of readServerSentEvents(response)) {
      if (first === 0 && data.includes('"text":"')) first = performance.now() - started
    }
    if (first === 0) throw new Error('A stream ended without text.')
    return { first, end: performance.now() - started }
  }

  const straight = (redis: Redis): Send => async () => {
    const started = performance.now()
    const job = await makeJob()
    await redis.xadd(jobsKey(model, job.class), '*', 'job', JSON.stringify(job))
    let first = 0
    for (let last = '0-0'; ; ) {
      const reply = await redis.xread('BLOCK', 30_000, 'STREAMS', resultKey(job.id), last)
      const entries = reply?.[0]?.[1] ?? []
      if (entries.length === 0) throw new Error('A job was not answered within 30 s.')
      for (const [id, fields] of entries) {
        last = id
        const type = fields[fields.indexOf('type') + 1] ?? ''
        if (type === 'delta' && first === 0) first = performance.now() - started
        if (isTerminal(type)) return { first, end: performance.now() - started }
      }
    }
  }

  async function makeJob(): Promise<Job> {
    const id = createId('job')
    const request: Job['request'] = {
      prompt: { type: 'text', text: prompt },
      maxTokens: 1,
      sampling: { temperature: 0, topP: 1, seed: 0 },
      stop: [],
      ignoreEos: true,
      logprobs: null,
      echo: false,
    }
    const deadline = Date.now() + 60_000
    const grant = await sign({
      sub: 'bench',
      jti: id,
      exp: Math.ceil(deadline / 1000),
      model,
      weightsDigest: registration.weightsDigest,
      licence: { profile: registration.licence, version: 'bench' },
      purpose: 'bench',
      promptHash: await promptHash(request.prompt),
      limits: { maxTokens: 1 },
    })
    return { version: jobVersion, id, model, class: 'interactive', grant, deadline, trace: id, request }
  }

  const connect = (): Redis => {
    const redis = new Redis(system.dev.redisUrl)
    clients.push(redis)
    return redis
  }
  const direct = Array.from({ length: concurrency }, () => straight(connect()))
  const edge = Array.from({ length: concurrency }, () => throughEdge)

  await load(edge, requests)
  await load(direct, requests)
  const results = { edge: emptyResult(), straight: emptyResult() }
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`)
    await measure(results.edge, edge)
    await measure(results.straight, direct)
  }
  print(results)
} finally {
  for (const client of clients) client.disconnect()
  await system.stop()
}

interface Result {
  readonly first: number[]
  readonly rates: number[]
}

function emptyResult(): Result {
  return { first: [], rates: [] }
}

async function measure(result: Result, senders: readonly Send[]): Promise<void> {
  result.first.push(...(await load(senders.slice(0, 1), requests)).first)
  result.rates.push((await load(senders, requests * 4)).rate)
}

/** Sends `count` jobs, each sender one after the other. */
async function load(senders: readonly Send[], count: number): Promise<{ first: number[]; rate: number }> {
  const first: number[] = []
  let left = count
  const started = performance.now()
  await Promise.all(
    senders.map(async (send) => {
      while (left-- > 0) first.push((await send()).first)
    }),
  )
  return { first, rate: (count * 1000) / (performance.now() - started) }
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

function print(results: { edge: Result; straight: Result }): void {
  const row = (name: string, result: Result): string[] => [
    name,
    quantile(result.first, 0.5).toFixed(2),
    quantile(result.first, 0.99).toFixed(2),
    `${quantile(result.rates, 0.5).toFixed(0)} (${Math.min(...result.rates).toFixed(0)}-${Math.max(...result.rates).toFixed(0)})`,
  ]
  const table = [
    ['path', 'first text p50 ms', 'p99 ms', `requests/s at ${concurrency}`],
    row('through the edge', results.edge),
    row('straight to Redis', results.straight),
  ]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0))) ?? []
  for (const cells of table) console.log(cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
  const added = quantile(results.edge.first, 0.5) - quantile(results.straight.first, 0.5)
  const ratio = quantile(results.edge.rates, 0.5) / quantile(results.straight.rates, 0.5)
  console.log(`\nadded p50 time to first text: ${added.toFixed(2)} ms; requests/s, edge to straight: ${ratio.toFixed(2)}`)
}
