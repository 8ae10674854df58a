/**
 * Checks sampling parameters against the model that is loaded, before anything is computed. Which values there may be at
 * all is the business of the job schema.
 */
import { apiError } from '../../shared/errors.ts'
import type { GenerationRequest } from '../../shared/job.ts'
import type { EngineDescription } from '../engine/engine.ts'
import { bansEverything } from '../engine/logits-processing.ts'

/**
 * `maxTokens` is what the context leaves room for. Throws `ApiError`: `invalid_parameter` for a bias on a token that does
 * not exist or biases that ban every token, `context_length_exceeded` for a minimum that does not fit.
 */
export function checkSampling(
  { sampling, ignoreEos }: Pick<GenerationRequest, 'sampling' | 'ignoreEos'>,
  maxTokens: number,
  { vocabularySize, endTokens }: Pick<EngineDescription, 'vocabularySize' | 'endTokens'>,
): void {
  const { minTokens = 0, logitBias = [] } = sampling
  if (minTokens > maxTokens) {
    throw apiError(
      'context_length_exceeded',
      `At least ${minTokens} tokens were asked for, but there is room for ${maxTokens} at most.`,
      { param: 'min_tokens' },
    )
  }
  const unknown = logitBias.find(([token]) => token >= vocabularySize)
  if (unknown !== undefined) {
    throw apiError('invalid_parameter', `Token ${unknown[0]} does not exist: this model's tokens are 0 to ${vocabularySize - 1}.`, {
      param: `logit_bias.${unknown[0]}`,
    })
  }
  if (bansEverything({ sampling, endTokens: ignoreEos ? [] : endTokens }, vocabularySize)) {
    throw apiError('invalid_parameter', 'Every token of the model is banned, so there is nothing to generate.', { param: 'logit_bias' })
  }
}
