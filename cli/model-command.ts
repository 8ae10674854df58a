/**
 * `phigate model`: list, pull, compile and verify models. Results go to standard output, progress to standard error: a
 * bar on a terminal, else a line each second.
 */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError } from 'commander'
import { catalogue } from '../gpu-worker/model/catalogue.ts'
import { compareModels } from '../gpu-worker/model/compare.ts'
import type { Comparison } from '../gpu-worker/model/compare.ts'
import { compileCheckpoint } from '../gpu-worker/model/compile.ts'
import { ModelError } from '../gpu-worker/model/model-error.ts'
import { blockSizes, compilablePrecisions } from '../gpu-worker/model/precision.ts'
import { pullModel } from '../gpu-worker/model/pull.ts'
import { listModels, verifyModel } from '../gpu-worker/model/verify.ts'
import { licenceProfileIds } from '../shared/licence-profiles.ts'
import type { LicenceProfileId } from '../shared/licence-profiles.ts'
import { modelIdSchema } from '../shared/job.ts'
import { printTable } from './command-output.ts'
import { readSettings } from './settings.ts'
import { UserError } from './user-error.ts'

interface JsonOption {
  readonly json?: boolean
}

export function modelCommand(): Command {
  const command = new Command('model').description('models: what can be loaded, and how it gets onto this machine')
  command
    .command('list')
    .description('the catalogue, and what of it is on this machine')
    .option('--json', 'print JSON')
    .action(async ({ json }: JsonOption) => {
      const models = await listModels(readSettings(process.env).home)
      const rows = models.map(({ id, checkpoint, compiled, description }) => ({
        model: id,
        checkpoint,
        compiled: compiled.map(({ precision }) => precision).join(', ') || '-',
        description,
      }))
      printTable(rows, json === true, models)
    })

  command
    .command('pull')
    .description('fetch a checkpoint from the Hugging Face Hub; goes on where it was interrupted')
    .argument('<id>', catalogue.map(({ id }) => id).join(', '), asModelId)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nEnvironment: PHIGATE_HUB_URL or HF_ENDPOINT (a mirror of the hub), HF_TOKEN (access token)')
    .action(async (id: string, { json }: JsonOption) => {
      const { home } = readSettings(process.env)
      const hubUrl = setting('PHIGATE_HUB_URL') ?? setting('HF_ENDPOINT')
      const accessToken = setting('HF_TOKEN')
      const pulled = await withProgress('Fetching', (report, signal) =>
        pullModel({ id, home, ...(hubUrl && { hubUrl }), ...(accessToken && { accessToken }), signal, onProgress: report }),
      )
      const files = pulled.files.map(({ name, bytes }) => ({ file: name, bytes: String(bytes) }))
      printTable(files, json === true, pulled)
      if (json !== true) process.stdout.write(`\n${id} is in ${pulled.folder}. Serve it: PHIGATE_MODEL=${id} npm start\n`)
    })

  command
    .command('compile')
    .description('compile a Hugging Face PhiForCausalLM checkpoint to a folder that PHIGATE_MODEL can name')
    .argument('<hf-folder>', 'folder with config.json, tokenizer.json and safetensors')
    .requiredOption('--precision <precision>', compilablePrecisions.join(', '), asPrecision)
    .option('--block <weights>', `weights per scale: ${blockSizes.join(', ')}; for int4 (default 32) and int8 (default: one scale per output channel)`, asBlockSize)
    .requiredOption('--out <folder>', 'folder to make')
    .option('--id <model>', 'id under which it is served (default: the name of the folder)', asModelId)
    .option('--licence <profile>', `terms of its weights: ${licenceProfileIds.join(', ')}`, asLicence)
    .option('--json', 'print JSON')
    .action(async (folder: string, options: JsonOption & { precision: string; block?: number; out: string; id?: string; licence?: LicenceProfileId }) => {
      const out = typedPath(options.out)
      const manifest = await withProgress('Compiling', (report, signal) =>
        compileCheckpoint({
          source: typedPath(folder),
          out,
          precision: options.precision,
          ...(options.block && { blockSize: options.block }),
          ...(options.id && { modelId: options.id }),
          ...(options.licence && { licence: options.licence }),
          signal,
          onProgress: ({ phase, doneBytes, totalBytes }) => report({ title: phase, doneBytes, totalBytes }),
        }),
      )
      if (options.json === true) printTable([], true, { folder: out, manifest })
      else process.stdout.write(`${manifest.modelId} is in ${out}. Serve it: PHIGATE_MODEL=${out} npm start\n`)
    })

  command
    .command('verify')
    .description('check every byte of a compiled folder against its manifest, and what its precision costs in quality')
    .argument('<folder>', 'compiled folder')
    .option('--against <folder>', 'compare its predictions with these: its checkpoint, or the same compiled at fp32')
    .option('--text <file>', 'UTF-8 text to predict, for --against')
    .option('--json', 'print JSON')
    .action(async (folder: string, { against, text, json }: JsonOption & { against?: string; text?: string }, verify: Command) => {
      if ((against === undefined) !== (text === undefined)) verify.error('error: --against and --text belong together.')
      const path = typedPath(folder)
      const { manifest, comparison } = await withProgress('Verifying', async (report, signal) => ({
        manifest: await verifyModel({ folder: path, signal, onProgress: (doneBytes, totalBytes) => report({ title: 'verifying', doneBytes, totalBytes }) }),
        comparison:
          against === undefined || text === undefined ? undefined : (
            await compareModels({
              folder: path,
              against: typedPath(against),
              text: await readFile(typedPath(text), 'utf8'),
              signal,
              onCompileProgress: ({ phase, doneBytes, totalBytes }) => report({ title: `reference: ${phase}`, doneBytes, totalBytes }),
              onTokens: (doneTokens, totalTokens) => report({ title: 'comparing', doneTokens, totalTokens }),
            })
          ),
      }))
      if (json === true) return printTable([], true, { folder: path, ok: true, manifest, ...(comparison && { comparison }) })
      process.stdout.write(`${path} is whole: ${manifest.modelId}, ${manifest.precision}, weights ${manifest.weightsDigest}\n`)
      if (comparison !== undefined) printTable(comparisonRows(comparison), false, comparison)
    })
  return command
}

function comparisonRows({ tokens, predictions, klDivergence, topAgreement, perplexity }: Comparison): Record<string, string>[] {
  const row = (measure: string, value: number, digits: number): Record<string, string> => ({ measure, value: value.toFixed(digits) })
  return [
    row('tokens', tokens, 0),
    row('predictions compared', predictions, 0),
    row('KL divergence, mean (nats)', klDivergence.mean, 6),
    row('KL divergence, p99 (nats)', klDivergence.p99, 6),
    row('same most probable token', topAgreement, 4),
    row('perplexity, fp32', perplexity.reference, 4),
    row('perplexity, this model', perplexity.model, 4),
  ]
}

/** With what is being worked on; a new title starts a new bar. */
type ProgressReport =
  | { readonly title: string; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly title: string; readonly doneTokens: number; readonly totalTokens: number }

/**
 * Runs the work with a progress display. What went wrong with a model or the disk becomes a message without a stack. An
 * interrupt aborts the signal, so that the work can remove what it has not finished.
 */
async function withProgress<Result>(
  title: string,
  work: (report: (progress: ProgressReport) => void, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const display = process.stderr.isTTY ? barDisplay() : lineDisplay(title)
  const controller = new AbortController()
  const interrupt = (): void => controller.abort(new UserError('Interrupted.'))
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    return await work(display.show, controller.signal)
  } catch (error) {
    const isExpected = error instanceof ModelError || (error instanceof Error && 'syscall' in error)
    if (isExpected) throw new UserError(error.message, { cause: error })
    throw error
  } finally {
    display.stop()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

interface Display {
  show(progress: ProgressReport): void
  stop(): void
}

function barDisplay(): Display {
  let bar: SingleBar | undefined
  let shownTitle = ''
  return {
    show: (report) => {
      const { done, total, amount } = progressOf(report)
      if (report.title !== shownTitle) {
        bar?.stop()
        bar = new SingleBar({ format: `${report.title} [{bar}] {percentage} % of ${amount}, {eta_formatted} left`, stream: process.stderr })
        bar.start(total, done)
        shownTitle = report.title
      }
      bar?.update(done)
    },
    stop: () => bar?.stop(),
  }
}

/** Silent for what takes less than a second. */
function lineDisplay(command: string): Display {
  let last = performance.now()
  return {
    show: (report) => {
      if (performance.now() - last < 1000) return
      last = performance.now()
      const { done, total, amount } = progressOf(report)
      process.stderr.write(`${command}: ${report.title}, ${Math.floor((100 * done) / total)} % of ${amount}\n`)
    },
    stop: () => undefined,
  }
}

function progressOf(report: ProgressReport): { done: number; total: number; amount: string } {
  if ('doneBytes' in report) return { done: report.doneBytes, total: report.totalBytes, amount: `${(report.totalBytes / 1e6).toFixed(1)} MB` }
  return { done: report.doneTokens, total: report.totalTokens, amount: `${report.totalTokens} tokens` }
}

function setting(name: string): string | undefined {
  return process.env[name] || undefined
}

/** npm runs scripts in the project's folder; a relative path means what it meant where the person typed it. */
function typedPath(path: string): string {
  return resolve(process.env['INIT_CWD'] ?? process.cwd(), path)
}

function asModelId(value: string): string {
  if (!modelIdSchema.safeParse(value).success) throw new InvalidArgumentError('A model id has letters, digits, ".", "_" and "-", with at most one "/".')
  return value
}

function asPrecision(value: string): string {
  if (!compilablePrecisions.some((known) => known === value)) throw new InvalidArgumentError(`There is ${compilablePrecisions.join(', ')}.`)
  return value
}

function asBlockSize(value: string): number {
  const size = blockSizes.find((known) => String(known) === value)
  if (size === undefined) throw new InvalidArgumentError(`There is ${blockSizes.join(', ')}.`)
  return size
}

function asLicence(value: string): LicenceProfileId {
  const id = licenceProfileIds.find((known) => known === value)
  if (id === undefined) throw new InvalidArgumentError(`There is ${licenceProfileIds.join(' and ')}.`)
  return id
}
