/**
 * Shows that the peer computes the same model: a small checkpoint goes through both engines, and what they say about each
 * position of the same text is compared with what our float32 graph says. In float32 they have to agree but for the
 * peer's float16 cache; quantised ones may differ as far as their bits go, and a block laid out wrongly agrees in nothing.
 */
import { join } from 'node:path'
import { printTable } from '../../cli/command-output.ts'
import type { Progress } from '../../cli/progress.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { uniformGenerator } from '../../gpu-worker/model/random-numbers.ts'
import { benchConfigurations } from './configurations.ts'
import type { ContenderSpecification } from './contender.ts'
import type { GgmlType } from './gguf-blocks.ts'
import { prepareModels } from './prepare.ts'
import { startContender } from './start-contender.ts'

const shape: PhiConfiguration = {
  hiddenSize: 512,
  intermediateSize: 2048,
  layers: 4,
  heads: 8,
  headSize: 64,
  rotarySize: 32,
  ropeTheta: 10_000,
  layerNormEpsilon: 1e-5,
  contextLength: 1024,
  vocabularySize: 2048,
  endTokens: [256],
}
const textLength = 256

/** Share of the positions at which the most probable token must be the reference's. Chance gives one in 2,048. */
function leastAgreement(name: string): number {
  if (/fp32|F32|F16/.test(name)) return 0.98
  return /int8|Q8/.test(name) ? 0.9 : 0.5
}

export interface CheckOptions {
  readonly cache: string
  readonly threads: number
  readonly installation: string
  readonly json: boolean
  readonly progress: Progress
}

/** Prints the agreement; returns false when a contender does not compute the same model. */
export async function checkSameModel({ cache, threads, installation, json, progress }: CheckOptions): Promise<boolean> {
  const peers: readonly GgmlType[] = ['F32', 'F16', 'Q8_0', 'Q4_0']
  const files = await prepareModels({ folder: join(cache, 'check'), shape, configurations: benchConfigurations, peers, progress })
  const common = { threads, sequences: 1, sequenceTokens: shape.contextLength }
  const specifications: ContenderSpecification[] = [
    ...Array.from(files.compiled, ([{ name }, path]) => ({ name, engine: 'phigate' as const, path, installation: null, ...common })),
    ...Array.from(files.gguf, ([type, path]) => ({ name: `llama.cpp ${type}`, engine: 'llama.cpp' as const, path, installation, ...common })),
  ]
  const uniform = uniformGenerator(7)
  const text = Array.from({ length: textLength }, () => Math.floor(uniform() * shape.vocabularySize))

  const scored = []
  for (const specification of specifications) {
    scored.push(
      await progress.step(`Scoring with ${specification.name}`, async () => {
        const contender = await startContender(specification)
        try {
          return { name: specification.name, warnings: contender.warnings, scores: await contender.score(text) }
        } finally {
          await contender.close()
        }
      }),
    )
  }
  const reference = scored.find(({ name }) => name === 'fp32')!.scores
  const results = scored.map(({ name, warnings, scores }) => {
    const same = scores.filter(({ top }, position) => top === reference[position]!.top).length / scores.length
    const difference = scores.reduce((sum, { logprob }, position) => sum + Math.abs(logprob - reference[position]!.logprob), 0) / scores.length
    return { name, topOneAgreement: same, meanLogprobDifference: difference, warnings, passed: same >= leastAgreement(name) && warnings.length === 0 }
  })
  printTable(
    results.map(({ name, topOneAgreement, meanLogprobDifference, warnings, passed }) => ({
      '': name,
      'same most probable token': `${(100 * topOneAgreement).toFixed(1)} %`,
      'mean difference of log-probabilities': meanLogprobDifference.toFixed(5),
      warnings: warnings.join('; ') || 'none',
      verdict: passed ? 'same model' : 'NOT THE SAME MODEL',
    })),
    json,
    results,
  )
  return results.every(({ passed }) => passed)
}
