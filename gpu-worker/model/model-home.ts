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

/** Compiled model of given weights: another checkpoint or compiler gets another folder. */
export function compiledFolder(home: string, modelId: string, weightsDigest: string, precision: string): string {
  const key = weightsDigest.replace('sha256:', '').slice(0, 16)
  return join(compiledFolders(home), `${flat(modelId)}-${precision}-${key}-v${compilerVersion}`)
}

function flat(id: string): string {
  return id.replace('/', '--')
}
