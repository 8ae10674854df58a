/**
 * Whether the engine grows: a hundred thousand short requests through one engine with a tiny random model, more of them at
 * a time than there are slots, and the memory of the process as they go. Prompts share prefixes and evict them, some
 * sequences are scored, some are left in the middle, some never start. The exit code is 1 when the last quarter needed more
 * memory than the second one, by more than the allowance.
 *
 *     node bench/scheduler/soak.ts [--requests 100000] [--concurrency 48] [--seed 1] [--allowance 16]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createEngine } from '../../gpu-worker/engine/create-engine.ts'
import type { SequenceRequest } from '../../gpu-worker/engine/engine.ts'
import { compileCheckpoint } from '../../gpu-worker/model/compile.ts'
import { tinyConfiguration, writeRandomCheckpoint } from '../../gpu-worker/model/random-checkpoint.ts'
import { uniformGenerator } from '../../gpu-worker/model/random-numbers.ts'

const help = `node bench/scheduler/soak.ts [options]
  --requests N      requests in all (100000)
  --concurrency N   requests at a time (48, of which 16 have a slot)
  --seed N          what they are (1)
  --allowance MiB   growth from the second to the last quarter that is let pass (16)`

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '100000' },
    concurrency: { type: 'string', default: '48' },
    seed: { type: 'string', default: '1' },
    allowance: { type: 'string', default: '16' },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  console.log(help)
  process.exit(0)
}
const requests = Number(options.requests)
const mebibytes = (bytes: number): number => bytes / 2 ** 20

const uniform = uniformGenerator(Number(options.seed))
const below = (limit: number): number => Math.floor(uniform() * limit)
const headers = Array.from({ length: 40 }, () => Array.from({ length: 128 }, () => below(256)))

function nextRequest(): SequenceRequest {
  const header = headers[below(headers.length)]!.slice(0, below(129))
  const scorePrompt = below(20) === 0
  return {
    tokens: [...header, ...Array.from({ length: 1 + below(16) }, () => below(256))],
    maxTokens: scorePrompt ? below(2) : 1 + below(8),
    sampling: { temperature: below(2), topP: 1, seed: below(2 ** 32) },
    endTokens: tinyConfiguration.endTokens,
    logprobs: scorePrompt || below(10) === 0 ? below(4) : null,
    scorePrompt,
    ...(below(4) === 0 && { isolation: `scope ${below(5)}` }),
  }
}

const home = await mkdtemp(join(tmpdir(), 'phigate-soak-'))
try {
  const source = join(home, 'checkpoint')
  const modelFolder = join(home, 'compiled')
  await writeRandomCheckpoint({ folder: source, configuration: tinyConfiguration, seed: 1 })
  await compileCheckpoint({ source, out: modelFolder, modelId: 'bench/soak', precision: 'fp32' })
  // 16 slots of 256 KiB, and 2 MiB for 64 blocks: the prefixes do not all fit.
  const engine = await createEngine({ modelFolder, slots: 16, keyValueBudgetBytes: 6 * 2 ** 20, threads: 1 })
  const counts = { started: 0, ended: 0, aborted: 0, tokens: 0 }

  async function client(): Promise<void> {
    while (counts.started < requests) {
      counts.started++
      const kind = below(20)
      const controller = new AbortController()
      if (kind === 0) controller.abort()
      if (kind === 1) setImmediate(() => controller.abort())
      for await (const steps of engine.generate(nextRequest(), controller.signal)) {
        counts.tokens += steps.filter(({ type }) => type === 'token').length
        if (kind === 2) break
      }
      if (kind <= 2) counts.aborted++
      else counts.ended++
    }
  }

  const samples: number[] = []
  const began = performance.now()
  const report = (): void => {
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    const { computedPromptTokens: computed, reusedPromptTokens: reused } = engine.statistics
    samples.push(rss)
    console.log(
      [
        `${counts.started} requests`,
        `${((performance.now() - began) / 1000).toFixed(0)} s`,
        `RSS ${mebibytes(rss).toFixed(1)} MiB`,
        `heap ${mebibytes(heapUsed).toFixed(1)}`,
        `array buffers ${mebibytes(arrayBuffers).toFixed(1)}`,
        `prompt tokens reused ${((100 * reused) / Math.max(1, reused + computed)).toFixed(0)} %`,
      ].join(', '),
    )
  }
  const watching = setInterval(() => {
    if (counts.started >= ((samples.length + 1) * requests) / 20) report()
  }, 100)
  await Promise.all(Array.from({ length: Number(options.concurrency) }, client))
  clearInterval(watching)
  report()
  await engine.close()

  const most = (from: number, to: number): number => Math.max(...samples.slice(Math.floor(from * samples.length), Math.ceil(to * samples.length)))
  const growth = mebibytes(most(0.75, 1) - most(0.25, 0.5))
  console.log(`${counts.ended} ended, ${counts.aborted} aborted, ${counts.tokens} tokens sampled. Growth from the second to the last quarter: ${growth.toFixed(1)} MiB.`)
  if (growth > Number(options.allowance)) process.exitCode = 1
} finally {
  await rm(home, { recursive: true, force: true })
}
