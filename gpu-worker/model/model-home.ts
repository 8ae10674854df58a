/** Where models lie under PHIGATE_HOME. Ids are path-safe (`modelIdSchema`); their one slash becomes two dashes. */
import { join } from 'node:path'
import { compilerVersion } from './compile.ts'

/** Checkpoint as the hub has it. */
export function checkpointFolder(home: string, repository: string): string {
  return join(home, 'checkpoints', flat(repository))
}

/** All that is compiled of one model. */
export function compiledFolders(home: string): string {
  return join(home, 'models')
}

/** Compiled model of one checkpoint: another checkpoint (`key` is a hash of it) or compiler gets another folder. */
export function compiledFolder(home: string, modelId: string, key: string, precision: string): string {
  return join(compiledFolders(home), `${flat(modelId)}-${precision}-${key.slice(0, 16)}-v${compilerVersion}`)
}

function flat(id: string): string {
  return id.replace('/', '--')
}
