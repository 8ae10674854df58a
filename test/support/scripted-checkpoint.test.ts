import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { scriptPieces, writeScriptedCheckpoint } from './scripted-checkpoint.ts'
import { spellBytes } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { compileCheckpoint } from '../../gpu-worker/model/compile.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-scripted-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Greedy tokens after the prompt, without a cache: the whole sequence every time. */
async function greedy(name: string, prompt: string, steps: number) {
  const out = join(folder, `${name}-compiled`)
  const manifest = await compileCheckpoint({ source: join(folder, name), out, precision: 'fp32' })
  const tokenizer = new Tokenizer(JSON.parse(await readFile(join(out, 'tokenizer.json'), 'utf8')) as object, {})
  const session = await InferenceSession.create(join(out, 'model.onnx'))
  const tokens: number[] = tokenizer.encode(prompt).ids
  const promptLength = tokens.length
  const { layers, heads, headSize, contextLength } = manifest
  const shape = [1, heads, contextLength, headSize]
  while (tokens.length < promptLength + steps && !manifest.endTokens.includes(tokens.at(-1)!)) {
    const zeros = (): Tensor => new Tensor('float32', new Float32Array(heads * contextLength * headSize), shape)
    const past = Array.from({ length: layers }, (_, layer) => [[`past_k.${layer}`, zeros()], [`past_v.${layer}`, zeros()]] as const).flat()
    const { logits } = await session.run({
      input_ids: new Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      bs: new Tensor('int64', BigInt64Array.from([1, tokens.length, -1], BigInt), [3]),
      seqlens_k: new Tensor('int32', Int32Array.of(tokens.length - 1), [1]),
      total_seq: new Tensor('int32', Int32Array.of(tokens.length), []),
      logit_idx: new Tensor('int64', BigInt64Array.of(BigInt(tokens.length - 1)), [1]),
      ...Object.fromEntries(past),
    })
    const row = Array.from(logits!.data as Float32Array)
    const best = row.indexOf(Math.max(...row))
    const margin = row[best]! - Math.max(...row.filter((_, token) => token !== best))
    expect(margin).toBeGreaterThan(10)
    tokens.push(best)
  }
  await session.release()
  const idToSpelling = new Map(Object.entries((JSON.parse(await readFile(join(out, 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number> } }).model.vocab).map(([spelling, id]) => [id, spelling]))
  const generated = tokens.slice(promptLength)
  return { generated, spellings: generated.map((token) => idToSpelling.get(token)!), endTokens: manifest.endTokens, tokenizer }
}

test('says its script token by token, with characters cut in half, and stops', async () => {
  const script = ['Über ', 'den ', Uint8Array.of(0x57, 0x6f, 0x6c, 0x6b, 0xe2), Uint8Array.of(0x80), Uint8Array.of(0xa6, 0x20), '🙂!', ' Ende.']
  await writeScriptedCheckpoint({ folder: join(folder, 'plain'), script, triggers: { '1': [' one', ' and two'] } })
  const { spellings, generated, endTokens, tokenizer } = await greedy('plain', 'Sag etwas:', 20)
  const bytes = script.map((piece) => (typeof piece === 'string' ? new TextEncoder().encode(piece) : piece))
  expect(spellings).toEqual([...bytes.map(spellBytes), '<|endoftext|>'])
  expect(endTokens).toEqual([generated.at(-1)])
  expect(tokenizer.decode(generated, { skip_special_tokens: true })).toBe('Über den Wolk… 🙂! Ende.')
  expect(tokenizer.encode('Über den Wolk… 🙂! Ende.').ids.every((id: number) => id < 256)).toBe(true)
  const triggered = await greedy('plain', 'Number 1', 20)
  expect(triggered.tokenizer.decode(triggered.generated, { skip_special_tokens: true })).toBe(' one and two')
})

test('can go on for ever, with a long script', async () => {
  const script = scriptPieces(Array.from({ length: 300 }, (_, index) => `Line ${index} of the story. `).join(''))
  await writeScriptedCheckpoint({ folder: join(folder, 'loop'), script, loop: true, contextLength: 1500 })
  const { spellings } = await greedy('loop', 'x', 8)
  expect(spellings).toEqual(script.slice(0, 8).map((piece) => spellBytes(new TextEncoder().encode(piece))))
  const fromNearTheEnd = ['aa', 'bb']
  await writeScriptedCheckpoint({ folder: join(folder, 'short-loop'), script: fromNearTheEnd, loop: true })
  expect((await greedy('short-loop', 'x', 5)).spellings).toEqual(['aa', 'bb', 'aa', 'bb', 'aa'])
})

test('refuses a script that it can not play', async () => {
  const write = (script: (string | Uint8Array)[]) => writeScriptedCheckpoint({ folder: join(folder, 'refused'), script })
  await expect(write(['ab', 'cd', 'ab'])).rejects.toThrow('twice')
  await expect(write(['ab', 'c'])).rejects.toThrow('two bytes')
  await expect(write([''])).rejects.toThrow('two bytes')
  expect(() => scriptPieces(' the end the')).toThrow('repeats')
  expect(scriptPieces('so it is so it goes')).toEqual(['so', ' it', ' is', ' so', ' it goes'])
})
