/** A real engine on a real checkpoint that says a chosen text (test/support/scripted-checkpoint.ts), in a temporary folder. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeScriptedCheckpoint } from '../../test/support/scripted-checkpoint.ts'
import type { ScriptedCheckpoint } from '../../test/support/scripted-checkpoint.ts'
import { createEngine } from '../engine/create-engine.ts'
import type { Engine } from '../engine/engine.ts'
import { loadTokenizer } from '../engine/tokenizer.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'
import { compileCheckpoint } from '../model/compile.ts'
import type { Manifest } from '../model/manifest.ts'

export interface CompiledScript {
  readonly folder: string
  readonly manifest: Manifest
  remove(): Promise<void>
}

export async function compileScript(modelId: string, script: Omit<ScriptedCheckpoint, 'folder'>): Promise<CompiledScript> {
  const home = await mkdtemp(join(tmpdir(), 'phigate-script-'))
  const source = join(home, 'checkpoint')
  const folder = join(home, 'compiled')
  await writeScriptedCheckpoint({ ...script, folder: source })
  const manifest = await compileCheckpoint({ source, out: folder, modelId, precision: 'fp32' })
  return { folder, manifest, remove: () => rm(home, { recursive: true, force: true }) }
}

export interface ScriptedModel {
  readonly engine: Engine
  readonly tokenizer: Tokenizer
  close(): Promise<void>
}

export async function loadScript(modelId: string, script: Omit<ScriptedCheckpoint, 'folder'>, slots: number): Promise<ScriptedModel> {
  const compiled = await compileScript(modelId, script)
  const engine = await createEngine({ modelFolder: compiled.folder, slots })
  const tokenizer = await loadTokenizer(compiled.folder)
  return {
    engine,
    tokenizer,
    async close() {
      await engine.close()
      await compiled.remove()
    },
  }
}
