import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readServerSentEvents } from '../support/read-sse.ts'
import { writeScriptedCheckpoint } from '../support/scripted-checkpoint.ts'
import { serveCheckpoint, until } from '../support/system.ts'
import type { System } from '../support/system.ts'

/** A model that talks for long enough to be killed in mid-sentence on any machine. */
let folder: string
let system: System
let model: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-faults-'))
  const script = Array.from({ length: 40 }, (_, index) => `Line ${index}. `)
  await writeScriptedCheckpoint({ folder: join(folder, 'endless'), script, loop: true, contextLength: 16_384 })
  const served = await serveCheckpoint(join(folder, 'endless'))
  system = served.system
  model = served.model
})
afterAll(async () => {
  await system.stop()
  await rm(folder, { recursive: true, force: true })
})

function completeShortly(): Promise<Response> {
  return system.post('/v1/completions', { model, prompt: 'The harbor', max_tokens: 4, temperature: 0 })
}

async function killWorker(): Promise<void> {
  const pid = await system.workerPid()
  process.kill(pid, 'SIGKILL')
  await until(async () => (await system.workerPid()) !== pid, 'a new worker')
}

test('kill -9 of the idle worker: the next request is answered', async () => {
  await killWorker()
  const response = await completeShortly()
  expect(response.status).toBe(200)
})

test('kill -9 of the worker in mid-answer: exactly one terminal event, and the next request is answered', async () => {
  const redis = system.redis()
  const before = new Set(await redis.keys('res:*'))
  const response = await system.post('/v1/completions', {
    model,
    prompt: 'Once',
    max_tokens: 16_000,
    temperature: 1,
    stream: true,
  })
  expect(response.status).toBe(200)
  const messages: string[] = []
  let killed: Promise<void> | undefined
  for await (const data of readServerSentEvents(response)) {
    messages.push(data)
    killed ??= killWorker()
  }
  await killed

  // The client sees an error at the end, and nothing that looks like success.
  expect(messages.at(-1)).toContain('"worker_lost"')
  expect(messages).not.toContain('[DONE]')
  expect(messages.filter((data) => data.includes('"error"'))).toHaveLength(1)

  const after = (await redis.keys('res:*')).filter((key) => !before.has(key))
  expect(after).toHaveLength(1)
  const types = (await redis.xrange(after[0] ?? '', '-', '+')).map(([, fields]) => fields[fields.indexOf('type') + 1])
  expect(types.filter((type) => type === 'done' || type === 'error')).toEqual(['error'])
  expect(types.at(-1)).toBe('error')

  expect((await completeShortly()).status).toBe(200)
})

test('200 streams at once all end, none lost', async () => {
  const streams = Array.from({ length: 200 }, async (_, index) => {
    const response = await system.post('/v1/completions', {
      model,
      prompt: `Stream ${index}`,
      max_tokens: 16,
      temperature: 1,
      seed: index,
      stream: true,
      stream_options: { include_usage: true },
    })
    expect(response.status).toBe(200)
    const messages: string[] = []
    for await (const data of readServerSentEvents(response)) messages.push(data)
    return messages
  })
  for (const messages of await Promise.all(streams)) {
    expect(messages.at(-1)).toBe('[DONE]')
    expect(messages.filter((data) => data === '[DONE]')).toHaveLength(1)
    const usage = JSON.parse(messages.at(-2) ?? '{}') as { usage?: { completion_tokens: number } }
    expect(usage.usage?.completion_tokens).toBe(16)
  }
})
