/**
 * `phigate model`: list, pull, compile and verify models. Results go to standard output, progress to standard error: a
 * bar on a terminal, else a line each second.
 */
import { resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { Command, InvalidArgumentError } from 'commander'
import { catalogue } from '../gpu-worker/model/catalogue.ts'
import { compileCheckpoint, compilablePrecisions } from '../gpu-worker/model/compile.ts'
import { ModelError } from '../gpu-worker/model/model-error.ts'
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
      const pulled = await withProgress('Fetching', (report) =>
        pullModel({ id, home, ...(hubUrl && { hubUrl }), ...(accessToken && { accessToken }), onProgress: report }),
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
    .requiredOption('--out <folder>', 'folder to make')
    .option('--id <model>', 'id under which it is served (default: the name of the folder)', asModelId)
    .option('--licence <profile>', `terms of its weights: ${licenceProfileIds.join(', ')}`, asLicence)
    .option('--json', 'print JSON')
    .action(async (folder: string, options: JsonOption & { precision: string; out: string; id?: string; licence?: LicenceProfileId }) => {
      const out = typedPath(options.out)
      const manifest = await withProgress('Compiling', (report) =>
        compileCheckpoint({
          source: typedPath(folder),
          out,
          precision: options.precision,
          ...(options.id && { modelId: options.id }),
          ...(options.licence && { licence: options.licence }),
          onProgress: ({ phase, doneBytes, totalBytes }) => report({ title: phase, doneBytes, totalBytes }),
        }),
      )
      if (options.json === true) printTable([], true, { folder: out, manifest })
      else process.stdout.write(`${manifest.modelId} is in ${out}. Serve it: PHIGATE_MODEL=${out} npm start\n`)
    })

  command
    .command('verify')
    .description('check every byte of a compiled folder against its manifest')
    .argument('<folder>', 'compiled folder')
    .option('--json', 'print JSON')
    .action(async (folder: string, { json }: JsonOption) => {
      const path = typedPath(folder)
      const manifest = await withProgress('Verifying', (report) =>
        verifyModel({ folder: path, onProgress: (doneBytes, totalBytes) => report({ title: 'verifying', doneBytes, totalBytes }) }),
      )
      if (json === true) printTable([], true, { folder: path, ok: true, manifest })
      else process.stdout.write(`${path} is whole: ${manifest.modelId}, ${manifest.precision}, weights ${manifest.weightsDigest}\n`)
    })
  return command
}

interface ProgressReport {
  /** What is being worked on; a new title starts a new bar. */
  readonly title: string
  readonly doneBytes: number
  readonly totalBytes: number
}

/** Runs the work with a progress display. What went wrong with a model or the disk becomes a message without a stack. */
async function withProgress<Result>(title: string, work: (report: (progress: ProgressReport) => void) => Promise<Result>): Promise<Result> {
  const display = process.stderr.isTTY ? barDisplay() : lineDisplay(title)
  try {
    return await work(display.show)
  } catch (error) {
    const isExpected = error instanceof ModelError || (error instanceof Error && 'syscall' in error)
    if (isExpected) throw new UserError(error.message, { cause: error })
    throw error
  } finally {
    display.stop()
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
    show: ({ title, doneBytes, totalBytes }) => {
      if (title !== shownTitle) {
        bar?.stop()
        bar = new SingleBar({ format: `${title} [{bar}] {percentage} % of ${megabytes(totalBytes)}, {eta_formatted} left`, stream: process.stderr })
        bar.start(totalBytes, doneBytes)
        shownTitle = title
      }
      bar?.update(doneBytes)
    },
    stop: () => bar?.stop(),
  }
}

/** Silent for what takes less than a second. */
function lineDisplay(command: string): Display {
  let last = performance.now()
  return {
    show: ({ title, doneBytes, totalBytes }) => {
      if (performance.now() - last < 1000) return
      last = performance.now()
      process.stderr.write(`${command}: ${title}, ${Math.floor((100 * doneBytes) / totalBytes)} % of ${megabytes(totalBytes)}\n`)
    },
    stop: () => undefined,
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
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

function asLicence(value: string): LicenceProfileId {
  const id = licenceProfileIds.find((known) => known === value)
  if (id === undefined) throw new InvalidArgumentError(`There is ${licenceProfileIds.join(' and ')}.`)
  return id
}
