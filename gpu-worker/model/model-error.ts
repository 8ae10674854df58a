/** The one error of this folder: a checkpoint, a compiled folder or a download that can not be used, and why. */

export type ModelFailure =
  /** Nothing is there under that name or path. */
  | 'not-found'
  /** Well-formed, but not something this program can run. */
  | 'unsupported'
  /** Truncated, altered, contradictory or hostile. */
  | 'damaged'
  /** The hub or a mirror could not be read. */
  | 'download-failed'
  /** The place to write to holds something else. */
  | 'occupied'

export class ModelError extends Error {
  override readonly name = 'ModelError'
  readonly failure: ModelFailure

  constructor(failure: ModelFailure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.failure = failure
  }
}

export function modelError(...parts: ConstructorParameters<typeof ModelError>): ModelError {
  return new ModelError(...parts)
}
