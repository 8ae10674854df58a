import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spellBytes } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { compileCheckpoint } from '../../gpu-worker/model/compile.ts'
import { greedyContinuation } from './greedy-continuation.ts'
import { scriptPieces, writeScriptedCheckpoint } from './scripted-checkpoint.ts'
import type { ScriptPiece, ScriptedCheckpoint } from './scripted-checkpoint.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-scripted-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function compiled(name: string, options: Omit<ScriptedCheckpoint, 'folder'>): Promise<string> {
  const source = join(folder, name)
  await writeScriptedCheckpoint({ folder: source, ...options })
  const out = `${source}-compiled`
  const manifest = await compileCheckpoint({ source, out, precision: 'fp32' })
  expect(manifest.kvInPlace).toBe(true)
  return out
}

/** How each token is spelled in the vocabulary. */
async function spellings(model: string, tokens: readonly number[]): Promise<string[]> {
  const { model: bpe } = JSON.parse(await readFile(join(model, 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number> } }
  const spellingOf = new Map(Object.entries(bpe.vocab).map(([spelling, id]) => [id, spelling]))
  return tokens.map((token) => spellingOf.get(token)!)
}

function spell(piece: ScriptPiece): string {
  return spellBytes(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece)
}

test('says its script token by token, with characters cut in half, and stops', async () => {
  const script = ['Über ', 'den ', Uint8Array.of(0x57, 0x6f, 0x6c, 0x6b, 0xe2), Uint8Array.of(0x80), Uint8Array.of(0xa6, 0x20), '🙂!', ' Ende.']
  const model = await compiled('plain', { script, triggers: { '1': [' one', ' and two'] } })
  const said = await greedyContinuation(model, 'Sag etwas:', 20)
  expect(await spellings(model, said.tokens)).toEqual([...script.map(spell), '<|endoftext|>'])
  expect(said.endTokens).toEqual([said.tokens.at(-1)])
  expect(said.text).toBe('Über den Wolk… 🙂! Ende.')
  expect(said.smallestMargin).toBeGreaterThan(10)
  expect(said.tokenizer.encode(said.text).ids.every((id: number) => id < 256)).toBe(true)
  expect((await greedyContinuation(model, 'Number 1', 20)).text).toBe(' one and two')
})

test('can be long', async () => {
  const script = scriptPieces(Array.from({ length: 300 }, (_, index) => `Line ${index} of the story. `).join(''))
  const said = await greedyContinuation(await compiled('long', { script }), 'x', 60)
  expect(await spellings(join(folder, 'long-compiled'), said.tokens)).toEqual(script.slice(0, 60).map(spell))
  expect(said.smallestMargin).toBeGreaterThan(10)
})

test('can go on for ever', async () => {
  const said = await greedyContinuation(await compiled('loop', { script: ['aa', 'bb'], loop: true }), 'x', 7)
  expect(said.text).toBe('aabbaabbaabbaa')
})

test('refuses a script that it can not play', async () => {
  const write = (script: ScriptPiece[]) => writeScriptedCheckpoint({ folder: join(folder, 'refused'), script })
  await expect(write(['ab', 'cd', 'ab'])).rejects.toThrow('twice')
  await expect(write(['ab', 'c'])).rejects.toThrow('two bytes')
  await expect(write([''])).rejects.toThrow('two bytes')
  expect(() => scriptPieces(' the end the')).toThrow('repeats')
  expect(scriptPieces('so it is so it goes')).toEqual(['so', ' it', ' is', ' so', ' it goes'])
})
