/**
 * What each precision costs in quality, without any downloaded weights: on phi-mini over the texts that it learned, and on
 * random weights whose LayerNorms make a few channels louder than the rest, as trained models have them. The loud channels'
 * columns are as much smaller, so that float32 logits say the same; what is lost is the precision of what shares a scale.
 *
 *     node bench/quantisation/main.ts        about a minute, 200 MB in the temporary folder
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { printTable } from '../../cli/command-output.ts'
import { corpus } from '../../gpu-worker/model/bundled/corpus.ts'
import { byteLevelTokenizer } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { findInCatalogue } from '../../gpu-worker/model/catalogue.ts'
import { compareModels } from '../../gpu-worker/model/compare.ts'
import { compileCheckpoint } from '../../gpu-worker/model/compile.ts'
import { phiTensors } from '../../gpu-worker/model/phi-configuration.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { tinyConfiguration, writeCheckpointFiles } from '../../gpu-worker/model/random-checkpoint.ts'
import { normalGenerator } from '../../gpu-worker/model/random-numbers.ts'
import { writeSafetensors } from '../../gpu-worker/model/safetensors-writer.ts'

const precisions: readonly { readonly precision: string; readonly blockSize?: number }[] = [
  { precision: 'fp16' }, { precision: 'int8' },
  ...[32, 64, 128].map((blockSize) => ({ precision: 'int8', blockSize })),
  ...[32, 64, 128].map((blockSize) => ({ precision: 'int4', blockSize })),
]

const configuration: PhiConfiguration = {
  ...tinyConfiguration, heads: 8, headSize: 80, rotarySize: 32, hiddenSize: 640, intermediateSize: 2560, layers: 4, contextLength: 512, vocabularySize: 2000,
}
const loudChannels = new Set([11, 99, 240, 401, 600])

async function writeLoudCheckpoint(folder: string, factor: number): Promise<void> {
  await mkdir(folder)
  await writeCheckpointFiles(folder, configuration, 'F16', byteLevelTokenizer().json)
  const normal = normalGenerator(3)
  await writeSafetensors({
    folder,
    shapes: phiTensors(configuration),
    type: 'F16',
    values: (name, [rows, columns]) => {
      const width = columns ?? rows!
      const deviation = columns === undefined ? 0.1 : name.startsWith('model.embed_tokens') ? 1 : (name === 'lm_head.weight' ? 2 : 1) / Math.sqrt(columns)
      const mean = name.endsWith('layernorm.weight') ? 1 : 0
      const loudness = name.endsWith('input_layernorm.weight') ? factor : /\.([qkv]_proj|fc1)\.weight$/.test(name) ? 1 / factor : 1
      return Float32Array.from({ length: rows! * (columns ?? 1) }, (_, at) => (mean + deviation * normal()) * (loudChannels.has(at % width) ? loudness : 1))
    },
  })
}

async function measure(place: string, what: string, source: string, text: string): Promise<Record<string, string>[]> {
  const against = join(place, 'fp32')
  const folder = join(place, 'compiled')
  await compileCheckpoint({ source, out: against, precision: 'fp32' })
  const rows: Record<string, string>[] = []
  for (const { precision, blockSize } of precisions) {
    await compileCheckpoint({ source, out: folder, precision, ...(blockSize && { blockSize }) })
    const { klDivergence, topAgreement, perplexity } = await compareModels({ folder, against, text })
    rows.push({
      model: what,
      precision: `${precision}${blockSize === undefined ? '' : ` b${blockSize}`}`,
      'KL mean': klDivergence.mean.toFixed(5),
      'KL p99': klDivergence.p99.toFixed(5),
      agreement: topAgreement.toFixed(3),
      perplexity: `${perplexity.model.toFixed(3)} (fp32 ${perplexity.reference.toFixed(3)})`,
    })
  }
  return rows
}

const place = await mkdtemp(join(tmpdir(), 'phigate-quantisation-'))
try {
  const text = corpus.join('\n\n')
  const phiMini = findInCatalogue('phi-mini')!.checkpoint
  const rows = phiMini.kind === 'bundled' ? await measure(place, 'phi-mini', phiMini.folder, text) : []
  for (const factor of [1, 20, 60]) {
    const source = join(place, `loud-${factor}`)
    await writeLoudCheckpoint(source, factor)
    rows.push(...(await measure(place, `random, 5 channels x${factor}`, source, text.slice(0, 500))))
  }
  printTable(rows, process.argv.includes('--json'))
} finally {
  await rm(place, { recursive: true, force: true })
}
