/**
 * How fast the engine is, against node-llama-cpp on the same shapes in the same run and against this machine's memory.
 * README.md beside this file says what is measured and how to read it.
 *
 *     node bench/engine/main.ts [--help]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { createProgress } from '../../cli/progress.ts'
import { readSettings } from '../../cli/settings.ts'
import { physicalCores } from '../../gpu-worker/engine/physical-cores.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { checkSameModel } from './check.ts'
import { benchConfigurations, compiledBytesPerStep, defaultConfigurations, parametersPerStep } from './configurations.ts'
import type { BenchConfiguration } from './configurations.ts'
import type { ContenderSpecification } from './contender.ts'
import type { GgmlType } from './gguf-blocks.ts'
import { measureMemoryBandwidth } from './memory-bandwidth.ts'
import { installLlama, llamaVersion } from './node-llama-cpp.ts'
import { bytesPerStep } from './phi-gguf.ts'
import { prepareModels } from './prepare.ts'
import type { ModelFiles } from './prepare.ts'
import { measureQuality, readQuality } from './quality.ts'
import { phi2Configuration } from './random-phi-2.ts'
import { figuresOf, formatTable, readLimitShare, singleDecodeTitle } from './report.ts'
import type { ContenderResult, Figure } from './report.ts'
import { runRounds } from './rounds.ts'
import type { Task } from './rounds.ts'
import { startContender } from './start-contender.ts'
import type { RunningContender } from './start-contender.ts'
import { estimateTimeLeft } from './time-left.ts'

const usage = `Usage: node bench/engine/main.ts [options]

  --configurations <names>  comma-separated, of ${benchConfigurations.map(({ name }) => name).join(', ')};
                            default ${defaultConfigurations.join()}
  --rounds <n>              rounds of alternating measurements; default 3
  --minutes <n>             for measuring at most, one round excepted; default 9
  --layers <n>              layers of the shape, which is phi-2's otherwise; default 32
  --threads <n>             threads of each engine; default one per physical core
  --cache <folder>          where models and the peer are kept; default PHIGATE_HOME/bench
  --quality                 first find the KL divergence from fp32, which takes 11 GB more of disk and of memory;
                            it is kept, and shown by later runs too
  --check                   show instead that both engines compute the same model, on a small one
  --json                    a JSON object on standard output instead of a table
  --help
`

/** Sequences of each contender's cache. */
const sequences = 16
/** Holds the longest prompt and what is generated beside it; llama.cpp rounds to 256. */
const sequenceTokens = 768

const { values: options } = parseArgs({
  options: {
    configurations: { type: 'string', default: defaultConfigurations.join() },
    rounds: { type: 'string', default: '3' },
    minutes: { type: 'string', default: '9' },
    layers: { type: 'string', default: String(phi2Configuration.layers) },
    threads: { type: 'string' },
    cache: { type: 'string' },
    check: { type: 'boolean', default: false },
    quality: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) {
  process.stdout.write(usage)
  process.exit(0)
}

const progress = createProgress()
const rounds = positiveInteger('rounds', options.rounds)
const minutes = positiveInteger('minutes', options.minutes)
const layers = positiveInteger('layers', options.layers)
const threads = options.threads === undefined ? await physicalCores() : positiveInteger('threads', options.threads)
const cache = options.cache === undefined ? join(readSettings(process.env).home, 'bench') : resolve(options.cache)
const configurations = options.configurations.split(',').map((wanted) => {
  const found = benchConfigurations.find(({ name }) => name === wanted)
  if (found === undefined) return wrongUsage(`There is no configuration ${JSON.stringify(wanted)}.`)
  return found
})
const shape: PhiConfiguration = { ...phi2Configuration, layers }

const tasks: readonly Task[] = [
  { title: singleDecodeTitle, measurement: { type: 'decode', batch: 1, steps: 12 }, rounds },
  { title: 'decode 4', measurement: { type: 'decode', batch: 4, steps: 8 }, rounds },
  { title: 'decode 8', measurement: { type: 'decode', batch: 8, steps: 6 }, rounds },
  { title: 'decode 16', measurement: { type: 'decode', batch: 16, steps: 5 }, rounds },
  { title: 'prefill 128', measurement: { type: 'prefill', tokens: 128 }, rounds },
  { title: 'prefill 512', measurement: { type: 'prefill', tokens: 512 }, rounds: Math.min(rounds, 2) },
  { title: '256 tokens beside 8', measurement: { type: 'under-load', running: 8, tokens: 256 }, rounds: Math.min(rounds, 2) },
]

const installed = await progress
  .step(`Installing node-llama-cpp ${llamaVersion} in ${cache} (about 90 MB), if it is not there`, () => installLlama(cache))
  .then((folder) => ({ folder, reason: null }), (error: unknown) => ({ folder: null, reason: error instanceof Error ? error.message : String(error) }))
if (installed.reason !== null) process.stderr.write(`The peer is missing: ${installed.reason}\n`)

if (options.check) {
  if (installed.folder === null) process.exit(1)
  const passed = await checkSameModel({ cache, threads, installation: installed.folder, json: options.json, progress })
  process.exit(passed ? 0 : 1)
}

const peers = installed.folder === null ? [] : [...new Set(configurations.map(({ peer }) => peer))]
const fp32 = benchConfigurations.find(({ name }) => name === 'fp32')!
const files = await prepareModels({
  folder: join(cache, layers === phi2Configuration.layers ? 'phi-2' : `phi-2-${layers}-layers`),
  shape,
  configurations: options.quality ? [...new Set([...configurations, fp32])] : configurations,
  peers,
  progress,
})
if (options.quality) {
  for (const configuration of configurations) {
    const compiled = files.compiled.get(configuration)!
    if (configuration !== fp32 && (await readQuality(compiled)) === null) await measureQuality({ compiled, reference: files.compiled.get(fp32)!, progress })
  }
}

const busy = await busyShare()
if (busy > 0.05) process.stderr.write(`Other processes keep this machine ${(100 * busy).toFixed(0)} % busy; the figures will be low, and llama.cpp's more than ours.\n`)
let bytesPerSecond = 0
const measureBandwidth = async (): Promise<void> => {
  bytesPerSecond = Math.max(bytesPerSecond, await progress.step('Measuring how fast memory is read', () => measureMemoryBandwidth(threads)))
}

const contenders: ContenderResult[] = []
const figures: Figure[] = []
const groups = [...new Set(configurations.map(({ peer }) => peer))].map((peer) => ({ peer, configurations: configurations.filter((each) => each.peer === peer) }))
const deadline = performance.now() + minutes * 60_000
for (const [index, group] of groups.entries()) {
  await measureBandwidth()
  const share = (deadline - performance.now()) / (groups.length - index)
  const measured = await measureGroup(group.peer, group.configurations, files, {
    which: `${index + 1} of ${groups.length}`,
    until: performance.now() + share,
  })
  contenders.push(...measured.results)
  figures.push(...measured.figures)
}
await measureBandwidth()
print()

interface GroupResult {
  readonly results: readonly ContenderResult[]
  readonly figures: readonly Figure[]
}

/** Our configurations and their peer, all loaded at once. */
async function measureGroup(
  peer: GgmlType,
  members: readonly BenchConfiguration[],
  { compiled, gguf }: ModelFiles,
  { which, until }: { readonly which: string; readonly until: number },
): Promise<GroupResult> {
  const common = { threads, sequences, sequenceTokens }
  const peerPath = gguf.get(peer)
  const peerName = `llama.cpp ${peer}`
  const specifications: ContenderSpecification[] = [
    ...members.map((member) => ({ name: member.name, engine: 'phigate' as const, path: compiled.get(member)!, installation: null, ...common })),
    ...(peerPath === undefined ? [] : [{ name: peerName, engine: 'llama.cpp' as const, path: peerPath, installation: installed.folder, ...common }]),
  ]
  const running: RunningContender[] = []
  try {
    for (const specification of specifications) {
      await progress.step(`Loading ${specification.name}`, async () => {
        const contender = await startContender(specification)
        running.push(contender)
        for (const warning of contender.warnings) process.stderr.write(`${specification.name} says: ${warning}\n`)
        // Its weights are in memory now, and its logits are numbers: it throws where they are not.
        await contender.score([1, 2, 3, 4])
      })
    }
    const steps = tasks.flatMap((task) => Array.from({ length: task.rounds }, () => task.title)).length * running.length
    const left = estimateTimeLeft(steps)
    const samples = await progress.step(`Group ${which}`, (detail) =>
      runRounds({
        group: running,
        tasks,
        rounds,
        vocabularySize: shape.vocabularySize,
        deadline: until,
        onStep: ({ contender, title, round }) => detail(`round ${round + 1} of ${rounds}, ${title}, ${contender}${left.next()}`),
      }),
    )
    const quality = new Map(await Promise.all(members.map(async (member) => [member.name, await readQuality(compiled.get(member)!)] as const)))
    const results = running.map(({ specification: { name }, peakBytes, warnings }): ContenderResult => {
      const member = members.find((each) => each.name === name)
      const bytes = member === undefined ? bytesPerStep(shape, peer) : compiledBytesPerStep(shape, member)
      return {
        name,
        peer: member !== undefined && peerPath !== undefined ? peerName : null,
        bytesPerStep: bytes,
        bitsPerWeight: (8 * bytes) / parametersPerStep(shape),
        peakBytes,
        quality: quality.get(name) ?? null,
        warnings,
      }
    })
    return { results, figures: figuresOf(results, tasks, samples) }
  } finally {
    await Promise.all(running.map((contender) => contender.close()))
  }
}

function print(): void {
  const machine = { processor: cpus()[0]?.model ?? 'unknown', logicalCores: availableParallelism(), threads, bytesPerSecond, busyBefore: busy, loadAverage: loadavg()[0]! }
  if (options.json) {
    const measured = contenders.map((each) => ({
      ...each,
      readLimitShare: readLimitShare(each, figures, bytesPerSecond),
      figures: figures.filter(({ contender }) => contender === each.name),
    }))
    process.stdout.write(`${JSON.stringify({ machine, shape, rounds, missingPeer: installed.reason, contenders: measured }, null, 2)}\n`)
    return
  }
  const lines = [
    formatTable(contenders, figures, bytesPerSecond),
    '',
    `Tokens per second unless it says ms: median (lowest–highest) of up to ${Math.max(...figures.map(({ values }) => values.length))} rounds, and how many times as fast as the peer, round by round.`,
    `${machine.processor}, ${threads} threads each; memory is read at ${(bytesPerSecond / 1e9).toFixed(1)} GB/s.`,
    ...(installed.reason === null ? [] : [`No peer: ${installed.reason}`]),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Share of all processors' time that was used while this process did nothing. */
async function busyShare(): Promise<number> {
  const total = (): { readonly idle: number; readonly all: number } =>
    cpus().reduce(({ idle, all }, { times }) => ({ idle: idle + times.idle, all: all + Object.values(times).reduce((a, b) => a + b, 0) }), { idle: 0, all: 0 })
  const before = total()
  await sleep(2000)
  const after = total()
  return 1 - (after.idle - before.idle) / (after.all - before.all)
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text)
  return Number.isInteger(value) && value > 0 ? value : wrongUsage(`--${name} takes a whole number above 0, not ${JSON.stringify(text)}.`)
}

function wrongUsage(message: string): never {
  process.stderr.write(`${message}\n\n${usage}`)
  process.exit(2)
}
