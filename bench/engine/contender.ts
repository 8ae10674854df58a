/** What the bench compares: something that holds one model and generates greedily, in a process of its own. */

export interface ContenderSpecification {
  readonly name: string
  readonly engine: 'phigate' | 'llama.cpp'
  /** A compiled folder, or a GGUF file. */
  readonly path: string
  /** Where node-llama-cpp is installed; for llama.cpp only. */
  readonly installation: string | null
  readonly threads: number
  /** Sequences side by side. */
  readonly sequences: number
  /** Tokens that one sequence may come to. */
  readonly sequenceTokens: number
}

/** What the model says of one position of a text. */
export interface PositionScore {
  /** The most probable next token. */
  readonly top: number
  /** Natural logarithm of the probability of the token that does follow. */
  readonly logprob: number
}

export interface Contender {
  /** What was said while the model was loaded and should not have been. */
  readonly warnings: readonly string[]
  /** Generates the most probable tokens, past the end of text too, until there are `maxTokens` or the signal aborts. */
  generate(prompt: readonly number[], maxTokens: number, onToken: (token: number) => void, signal: AbortSignal): Promise<void>
  /** One score for each token of the text but the first. */
  score(tokens: readonly number[]): Promise<readonly PositionScore[]>
  close(): Promise<void>
}
