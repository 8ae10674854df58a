/**
 * What continuous batching is worth: traces of requests with Poisson arrivals, each fed to one engine in three ways in
 * turn (see trace.ts), and what a client would see of it: time to the first token, gaps between tokens, tokens per
 * second. Before, the bound on the gap is measured on the idle engine: the dearest turn that its rules allow. Whatever
 * else the machine does falls on all three ways alike only if there are several rounds.
 *
 * The model is random and of middling size. Arrivals are given as a load, the multiple of what one request at a time can
 * serve: below 1 all three ways keep up, above 1 the queue of one at a time grows as long as the trace lasts.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createEngine } from '../../gpu-worker/engine/create-engine.ts'
import type { Engine } from '../../gpu-worker/engine/engine.ts'
import { compileCheckpoint } from '../../gpu-worker/model/compile.ts'
import { tinyConfiguration, writeRandomCheckpoint } from '../../gpu-worker/model/random-checkpoint.ts'
import { uniformGenerator } from '../../gpu-worker/model/random-numbers.ts'
import { gates, makeTrace, nothing, plainRequest, play, together } from './trace.ts'
import type { Measurement } from './trace.ts'

const help = `node bench/scheduler/main.ts [options]
  --requests N     requests of a trace (40)
  --rounds N       traces for each load (3)
  --load A,B,…     arrivals, as multiples of what one request at a time can serve (0.7,1.8)
  --slots N        sequences side by side, and the size of a static batch (16)
  --chunk N        prompt tokens per turn at most (128)
  --layers N       of the random model (8)
  --hidden N       its width, a multiple of 64 (512)
  --vocabulary N   its vocabulary (8192)
  --precision P    fp32, or what else the compiler offers (fp32)
  --threads N      default one per physical core
  --seed N         of the traces (1)`

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    load: { type: 'string', default: '0.7,1.8' },
    slots: { type: 'string', default: '16' },
    chunk: { type: 'string', default: '128' },
    layers: { type: 'string', default: '8' },
    hidden: { type: 'string', default: '512' },
    vocabulary: { type: 'string', default: '8192' },
    precision: { type: 'string', default: 'fp32' },
    threads: { type: 'string' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  console.log(help)
  process.exit(0)
}
const promptTokens = [20, 1500] as const
const answerTokens = [16, 256] as const
const requests = Number(options.requests)
const rounds = Number(options.rounds)
const slots = Number(options.slots)
const chunkTokens = Number(options.chunk)
const hiddenSize = Number(options.hidden)
const vocabularySize = Number(options.vocabulary)
const uniform = uniformGenerator(Number(options.seed))
const randomTokens = (length: number): number[] => Array.from({ length }, () => Math.floor(uniform() * vocabularySize))

const home = await mkdtemp(join(tmpdir(), 'phigate-bench-'))
let engine: Engine | undefined
try {
  const source = join(home, 'checkpoint')
  const modelFolder = join(home, 'compiled')
  const configuration = {
    ...tinyConfiguration,
    hiddenSize,
    intermediateSize: 4 * hiddenSize,
    layers: Number(options.layers),
    heads: hiddenSize / 64,
    headSize: 64,
    rotarySize: 32,
    contextLength: 2048,
    vocabularySize,
  }
  process.stderr.write('making a random model\n')
  await writeRandomCheckpoint({ folder: source, configuration, seed: 1 })
  await compileCheckpoint({ source, out: modelFolder, modelId: 'bench/scheduler', precision: options.precision })
  const threads = options.threads === undefined ? {} : { threads: Number(options.threads) }
  engine = await createEngine({ modelFolder, slots, chunkTokens, ...threads })
  if (engine.description.slots !== slots) throw new Error(`Memory suffices for ${engine.description.slots} slots only.`)

  process.stderr.write('measuring the idle engine\n')
  const bound = await dearestTurn(engine)
  const alone = await secondsPerRequestAlone(engine)
  console.log(`dearest turn: ${bound.chunk.toFixed(0)} ms of prompts + ${bound.decode.toFixed(0)} ms for ${slots} tokens = ${bound.total.toFixed(0)} ms, the bound on the gap`)
  console.log(`one request at a time: ${alone.toFixed(2)} s each`)
  for (const load of options.load.split(',').map(Number)) {
    const results = new Map<string, Measurement>()
    const ways = Object.entries(gates)
    for (let round = 0; round < rounds; round++) {
      const trace = makeTrace({ requests, rate: load / alone, promptTokens, answerTokens, vocabularySize, uniform })
      for (const [way, gate] of ways) {
        process.stderr.write(`load ${load}, round ${round + 1} of ${rounds}: ${way}\n`)
        const played = await play(engine, trace, gate(slots), `${load} ${round} ${way}`)
        results.set(way, together(results.get(way) ?? nothing, played))
      }
      // The one that was first is last in the next round.
      ways.push(...ways.splice(0, 1))
    }
    const ordered = Object.keys(gates).map((way): [string, Measurement] => [way, results.get(way)!])
    print(`load ${load}: ${(load / alone).toFixed(2)} requests/s, ${rounds} rounds of ${requests}`, ordered, bound.total)
  }
} finally {
  await engine?.close()
  await rm(home, { recursive: true, force: true })
}

/**
 * Milliseconds of the dearest turn on prompts, of the dearest step of a full batch, and their sum. The first is either the
 * last chunk of the longest prompt or as many short prompts as fit a turn; the least of three, as the machine is not quiet.
 */
async function dearestTurn(of: Engine): Promise<{ chunk: number; decode: number; total: number }> {
  const untilFirst = async (length: number): Promise<number> => {
    const times: number[] = []
    for (let count = 0; count < 3; count++) {
      const began = performance.now()
      for await (const steps of of.generate(plainRequest(randomTokens(length), 1), new AbortController().signal)) {
        if (steps.length > 0) times.push(performance.now() - began)
      }
    }
    return Math.min(...times)
  }
  const shortPass = 16
  const longest = promptTokens[1]
  const last = chunkTokens < longest ? (await untilFirst(longest)) - (await untilFirst(longest - chunkTokens)) : await untilFirst(longest)
  const chunk = Math.max(last, (await untilFirst(shortPass)) * Math.ceil(chunkTokens / shortPass))

  const prompt = randomTokens(longest)
  const full = Array.from({ length: slots }, () => ({ at: 0, request: plainRequest(prompt, answerTokens[1]) }))
  const { gaps } = await play(of, full, gates.continuous(slots), 'bound')
  const decode = quantile(gaps, 0.5)
  return { chunk, decode, total: chunk + decode }
}

async function secondsPerRequestAlone(of: Engine): Promise<number> {
  const trace = makeTrace({ requests: 10, rate: 1e6, promptTokens, answerTokens, vocabularySize, uniform })
  const began = performance.now()
  await play(of, trace, gates['one at a time'](1), 'alone')
  return (performance.now() - began) / 1000 / trace.length
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** Each figure of a peer with its ratio to ours, the first row. */
function print(title: string, results: readonly [string, Measurement][], boundMs: number): void {
  const figures = results.map(([, { first, gaps, tokens, milliseconds }]) => [
    quantile(first, 0.5),
    quantile(first, 0.99),
    quantile(gaps, 0.5),
    quantile(gaps, 0.99),
    Math.max(...gaps),
    (1000 * tokens) / milliseconds,
  ])
  const table = [
    ['', 'first token p50 ms', 'p99', 'gap p50 ms', 'p99', 'largest', 'tokens/s'],
    ...results.map(([way], row) => [
      way,
      ...figures[row]!.map((value, column) => (row === 0 ? value.toFixed(0) : `${value.toFixed(0)} (${(value / figures[0]![column]!).toFixed(2)})`)),
    ]),
  ]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)))
  console.log(`\n${title}`)
  for (const cells of table) console.log(cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
  console.log(`in brackets the ratio to continuous batching, whose largest gap is ${(figures[0]![4]! / boundMs).toFixed(2)} of the bound`)
}
