import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { phiConfigJson, readPhiConfiguration } from './phi-configuration.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { tinyConfiguration } from './random-checkpoint.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-config-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** config.json as microsoft/phi-2 has it. */
const phi2 = {
  architectures: ['PhiForCausalLM'], attention_dropout: 0, bos_token_id: 50256, embd_pdrop: 0, eos_token_id: 50256, hidden_act: 'gelu_new',
  hidden_size: 2560, initializer_range: 0.02, intermediate_size: 10240, layer_norm_eps: 1e-5, max_position_embeddings: 2048,
  model_type: 'phi', num_attention_heads: 32, num_hidden_layers: 32, num_key_value_heads: 32, partial_rotary_factor: 0.4,
  qk_layernorm: false, resid_pdrop: 0.1, rope_scaling: null, rope_theta: 10000, tie_word_embeddings: false, torch_dtype: 'float16',
  transformers_version: '4.37.0', use_cache: true, vocab_size: 51200,
}

async function read(config: unknown, generation?: unknown): Promise<PhiConfiguration> {
  await writeFile(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config))
  await rm(join(folder, 'generation_config.json'), { force: true })
  if (generation !== undefined) await writeFile(join(folder, 'generation_config.json'), JSON.stringify(generation))
  return readPhiConfiguration(folder)
}

test('phi-2', async () => {
  expect(await read(phi2)).toEqual({
    hiddenSize: 2560, intermediateSize: 10240, layers: 32, heads: 32, headSize: 80, rotarySize: 32, ropeTheta: 10_000,
    layerNormEpsilon: 1e-5, contextLength: 2048, vocabularySize: 51200, endTokens: [50256],
  })
})

test('the layout of newer transformers, with rope_parameters', async () => {
  const { rope_theta: _, rope_scaling: __, partial_rotary_factor: ___, ...rest } = phi2
  const config = { ...rest, rope_parameters: { rope_type: 'default', rope_theta: 5000, partial_rotary_factor: 0.4 } }
  expect(await read(config)).toMatchObject({ rotarySize: 32, ropeTheta: 5000 })
})

test('end tokens come from generation_config.json first, and may be several or none', async () => {
  expect((await read(phi2, { eos_token_id: [7, 50256, 7] })).endTokens).toEqual([7, 50256])
  expect((await read(phi2, {})).endTokens).toEqual([50256])
  expect((await read({ ...phi2, eos_token_id: null })).endTokens).toEqual([])
})

test('our own config.json reads back as it was', async () => {
  expect(await read(phiConfigJson(tinyConfiguration, 'float32'))).toEqual(tinyConfiguration)
})

describe('what would be computed wrongly is refused', () => {
  test.each<[string, unknown, string]>([
    ['another architecture', { ...phi2, architectures: ['LlamaForCausalLM'] }, 'only PhiForCausalLM'],
    ['phi-3', { ...phi2, architectures: ['Phi3ForCausalLM'], model_type: 'phi3' }, 'only PhiForCausalLM'],
    ['another activation', { ...phi2, hidden_act: 'silu' }, 'only gelu_new'],
    ['normed queries and keys', { ...phi2, qk_layernorm: true }, 'qk_layernorm'],
    ['tied embeddings', { ...phi2, tie_word_embeddings: true }, 'tie_word_embeddings'],
    ['grouped key-value heads', { ...phi2, num_key_value_heads: 8 }, 'num_key_value_heads (8)'],
    ['scaled rotary embedding', { ...phi2, rope_scaling: { type: 'linear', factor: 2 } }, 'of type linear'],
    ['heads that do not divide', { ...phi2, num_attention_heads: 30, num_key_value_heads: 30 }, 'not a multiple'],
    ['an odd number of rotary dimensions', { ...phi2, partial_rotary_factor: 0.0125 }, 'must be an even number'],
    ['an end token beyond the vocabulary', { ...phi2, eos_token_id: 51200 }, 'not below vocab_size'],
    ['a missing size', { ...phi2, hidden_size: undefined }, 'hidden_size'],
    ['a size that is no number', { ...phi2, num_hidden_layers: '32' }, 'num_hidden_layers'],
    ['a size that no machine has', { ...phi2, hidden_size: 1e12 }, 'hidden_size'],
    ['a file that is no JSON', '{', 'not valid JSON'],
    ['a file that is a list', [], 'can not be used'],
  ])('%s', async (_, config, message) => {
    await expect(read(config)).rejects.toThrow(message)
  })
  test('no config.json', async () => {
    await expect(readPhiConfiguration(join(folder, 'nowhere'))).rejects.toThrow('no config.json')
  })
})
