import { expect, test } from 'vitest'
import { jobVersion } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'
import { createScriptedTokenBus, acceptedEvent, delta, doneEvent } from '../test-support/scripted-token-bus.ts'
import type { ScriptStep } from '../test-support/scripted-token-bus.ts'
import { followJob } from './follow-job.ts'

const job: Job = {
  version: jobVersion,
  id: `job_${'a'.repeat(24)}`,
  model: 'm',
  class: 'interactive',
  grant: '',
  deadline: 0,
  trace: '',
  request: {
    prompt: { type: 'text', text: '' },
    maxTokens: null,
    sampling: { temperature: 0, topP: 1, seed: 0 },
    stop: [],
    ignoreEos: false,
    logprobs: null,
    echo: false,
  },
}

async function follow(script: ScriptStep[], { deadlineInMs = 60_000 } = {}) {
  const bus = createScriptedTokenBus()
  bus.play(...script)
  const client = new AbortController()
  // The signal stays out of the bus here, so that what is seen is the follower's own doing.
  const stream = await bus.submit(job, new AbortController().signal)
  const follower = followJob(stream, { signal: client.signal, deadline: Date.now() + deadlineInMs, now: Date.now })
  return { follower, client, bus }
}

test('entries come as they arrive, and silence loses none of them', async () => {
  const { follower } = await follow([[acceptedEvent], { pauseMs: 60 }, [delta('a'), doneEvent]])
  expect(await follower.next()).toHaveLength(1)
  let silences = 0
  let entries = await follower.next(1)
  while (entries === 'silence') {
    silences += 1
    entries = await follower.next(1)
  }
  expect(silences).toBeGreaterThan(0)
  expect(entries.map(({ event }) => event.type)).toEqual(['delta', 'done'])
})

test('a client that leaves cancels the job once, also in the middle of a wait', async () => {
  const { follower, client, bus } = await follow([[acceptedEvent], 'for-ever'])
  await follower.next()
  const waiting = follower.next()
  client.abort()
  follower.stop()
  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
  await expect(follower.next()).rejects.toMatchObject({ code: 'cancelled' })
  expect(bus.cancelled.size).toBe(1)
})

test('a client that left before cancels at once', async () => {
  const { client, bus } = await follow([[acceptedEvent], 'for-ever'])
  client.abort()
  expect(bus.cancelled.size).toBe(1)
})

test('a job that nobody finishes ends some time after its deadline', async () => {
  const { follower, bus } = await follow(['for-ever'], { deadlineInMs: -3_000 })
  await expect(follower.next()).rejects.toMatchObject({ code: 'deadline_exceeded' })
  expect(bus.cancelled.size).toBe(1)
})

test('a stream that breaks off is an error, not an end', async () => {
  const { follower } = await follow([[acceptedEvent, delta('a')]])
  await follower.next()
  await expect(follower.next()).rejects.toMatchObject({ code: 'queue_unavailable' })
})

test('after the terminal entry there is nothing left to cancel', async () => {
  const { follower, client, bus } = await follow([[acceptedEvent, doneEvent]])
  await follower.next()
  client.abort()
  follower.stop()
  expect(bus.cancelled.size).toBe(0)
})
