import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openCheckpoint } from './safetensors.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { fromFloat32, toFloat32 } from './tensor-types.ts'

let root: string
let folder: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-safetensors-'))
})
beforeEach(async () => {
  folder = join(root, String(count++))
  await mkdir(folder)
})
afterAll(() => rm(root, { recursive: true }))

/** A file with any header over so many bytes of data. */
function safetensors(header: unknown, dataBytes: number): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)])
}

async function opening(content: Buffer | string): Promise<unknown> {
  await writeFile(join(folder, 'model.safetensors'), content)
  return openCheckpoint(folder).then(async (checkpoint) => {
    await checkpoint.close()
    return 'opened'
  })
}

const entry = (begin: number, end: number, shape: number[] = [(end - begin) / 4], dtype = 'F32') => ({ dtype, shape, data_offsets: [begin, end] })

describe('the three number formats', () => {
  const exact = [0, 1, -1, 0.5, -2.25, 1024, 65_280]
  test.each(['F32', 'F16', 'BF16'] as const)('%s keeps what it can hold exactly', (type) => {
    expect([...toFloat32(type, fromFloat32(type, Float32Array.from(exact)))]).toEqual(exact)
  })
  test('known bytes', () => {
    expect([...toFloat32('F16', Uint8Array.of(0x00, 0x3c, 0xff, 0x7b, 0x01, 0x00))]).toEqual([1, 65_504, 2 ** -24])
    expect([...toFloat32('BF16', Uint8Array.of(0x80, 0x3f, 0x49, 0x40))]).toEqual([1, 3.140625])
    expect([...fromFloat32('BF16', Float32Array.of(3.14159274))]).toEqual([0x49, 0x40])
    // Half way between two neighbours goes to the even one, down and up.
    expect([...fromFloat32('BF16', Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8))]).toEqual([0x80, 0x3f, 0x82, 0x3f])
  })
  test('bytes that start at an odd place', () => {
    const bytes = new Uint8Array(9)
    bytes.set(fromFloat32('F32', Float32Array.of(1.5, -3)), 1)
    expect([...toFloat32('F32', bytes.subarray(1))]).toEqual([1.5, -3])
  })
})

describe('reading back what was written', () => {
  const shapes = new Map([['b', [2, 3]], ['a', [4]], ['empty', [0, 5]]])
  test.each([1, 2, 3])('in %i files', async (shards) => {
    await writeSafetensors({ folder, shapes, type: 'BF16', shards, values: (_, [first, second = 1]) => Float32Array.from({ length: first! * second }, (__, index) => index - 2) })
    const checkpoint = await openCheckpoint(folder)
    expect([...checkpoint.tensors.values()].map(({ name, type, shape, bytes }) => [name, type, shape, bytes])).toEqual([
      ['a', 'BF16', [4], 8],
      ['b', 'BF16', [2, 3], 12],
      ['empty', 'BF16', [0, 5], 0],
    ])
    expect([...(await checkpoint.readFloat32('b'))]).toEqual([-2, -1, 0, 1, 2, 3])
    expect([...(await checkpoint.readFloat32('empty'))]).toEqual([])
    await expect(checkpoint.readFloat32('c')).rejects.toThrow('lacks the tensor "c"')
    await checkpoint.close()
  })
  test('a number that is not finite is refused, with the tensor named', async () => {
    await writeSafetensors({ folder, shapes: new Map([['good', [1]], ['bad', [3]]]), type: 'F16', values: (name) => (name === 'good' ? Float32Array.of(1) : Float32Array.of(1, Number.NaN, 2)) })
    const checkpoint = await openCheckpoint(folder)
    await expect(checkpoint.readFloat32('bad')).rejects.toThrow('"bad" holds a value that is not a finite number')
    expect([...(await checkpoint.readFloat32('good'))]).toEqual([1])
    await checkpoint.close()
  })
})

describe('files that are not what they claim', () => {
  test.each<[string, Buffer, string]>([
    ['empty', Buffer.alloc(0), 'only 0 bytes'],
    ['shorter than the length field', Buffer.alloc(7), 'only 7 bytes'],
    ['a header longer than the file', safetensors({}, 0).fill(0x7f, 0, 1), 'and the file has 10'],
    ['a header of 2^63 bytes', Buffer.alloc(64, 0xff), 'its header claims'],
    ['no JSON', safetensors('{"a":', 0), 'not valid JSON'],
    ['a list as header', safetensors('[1]', 0), 'can not be used'],
    ['an entry that is no object', safetensors({ a: 5 }, 0), 'its entry for "a" is malformed'],
    ['a negative offset', safetensors({ a: entry(-4, 0, [1]) }, 4), 'its entry for "a" is malformed'],
    ['offsets in the wrong order', safetensors({ a: entry(4, 0, [1]) }, 4), 'lies at bytes 4 to 0'],
    ['cut short', safetensors({ a: entry(0, 16) }, 12), 'may be cut short'],
    ['a shape that does not fit', safetensors({ a: entry(0, 16, [5]) }, 16), 'F32 of shape [5] needs 20'],
    ['a shape that overflows', safetensors({ a: entry(0, 16, [2 ** 40, 2 ** 40]) }, 16), 'has 16 bytes'],
    ['overlap', safetensors({ a: entry(0, 8), b: entry(4, 12) }, 12), '"b" overlaps'],
    ['two tensors in one place', safetensors({ a: entry(0, 8), b: entry(0, 8) }, 8), 'overlaps'],
    ['a gap', safetensors({ a: entry(0, 4), b: entry(8, 12) }, 12), '4 bytes before "b"'],
    ['bytes left over', safetensors({ a: entry(0, 4) }, 12), '8 bytes at its end'],
    ['a dtype that we do not read', safetensors({ a: entry(0, 8, [8], 'F8_E4M3') }, 8), 'dtype "F8_E4M3"; supported are F32, F16, BF16'],
    ['a name with terminal escapes', safetensors({ 'a\u001b[2J': entry(0, 4, [9]) }, 4), '"a\\u001b[2J"'],
  ])('%s', async (_, content, message) => {
    await expect(opening(content)).rejects.toThrow(message)
    await expect(opening(content)).rejects.toMatchObject({ name: 'ModelError' })
  })

  test('a header padded with spaces, with metadata, is fine', async () => {
    await expect(opening(safetensors(`${JSON.stringify({ __metadata__: { format: 'pt' }, a: entry(0, 4) })}    `, 4))).resolves.toBe('opened')
  })

  test('a folder in place of the file', async () => {
    await mkdir(join(folder, 'model.safetensors'))
    await expect(openCheckpoint(folder)).rejects.toThrow('not a regular file')
  })
})

describe('shards', () => {
  const index = (weightMap: unknown) => writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }))

  test.each(['../secret.safetensors', '/etc/passwd', 'a/b.safetensors', '..', 'x.bin', '.safetensors', 'a\0.safetensors', 'a\\b.safetensors'])(
    'the name %j leaves the folder or is no shard',
    async (file) => {
      await index({ a: file })
      await expect(openCheckpoint(folder)).rejects.toThrow('not a file name of this folder')
    },
  )
  test('a shard is missing', async () => {
    await index({ a: 'one.safetensors' })
    await expect(openCheckpoint(folder)).rejects.toThrow('The shard one.safetensors is missing')
  })
  test('a shard lacks what the index places there', async () => {
    await index({ a: 'one.safetensors', b: 'one.safetensors' })
    await writeFile(join(folder, 'one.safetensors'), safetensors({ a: entry(0, 4) }, 4))
    await expect(openCheckpoint(folder)).rejects.toThrow('lacks the tensor "b"')
  })
  test('a shard holds what the index does not place there', async () => {
    await index({ a: 'one.safetensors' })
    await writeFile(join(folder, 'one.safetensors'), safetensors({ a: entry(0, 4), b: entry(4, 8) }, 8))
    await expect(openCheckpoint(folder)).rejects.toThrow('holds the tensor "b"')
  })
  test('an index that is no index', async () => {
    await writeFile(join(folder, 'model.safetensors.index.json'), '{"weight_map": ["a"]}')
    await expect(openCheckpoint(folder)).rejects.toThrow('weight_map')
  })
})

test('pickle files are refused by name and never opened', async () => {
  await writeFile(join(folder, 'pytorch_model.bin'), 'not even a pickle')
  await expect(openCheckpoint(folder)).rejects.toThrow(/pytorch_model\.bin is a pickle file.*never read.*safetensors/s)
})

test('an empty and a missing folder', async () => {
  await expect(openCheckpoint(folder)).rejects.toThrow('neither model.safetensors nor')
  await expect(openCheckpoint(join(folder, 'nowhere'))).rejects.toMatchObject({ failure: 'not-found' })
})

test('a file that shrinks while it is read', async () => {
  await writeSafetensors({ folder, shapes: new Map([['a', [1000]]]), type: 'F32', values: () => new Float32Array(1000) })
  const checkpoint = await openCheckpoint(folder)
  const path = join(folder, 'model.safetensors')
  await writeFile(path, (await readFile(path)).subarray(0, 500))
  await expect(checkpoint.readFloat32('a')).rejects.toThrow('became shorter')
  await checkpoint.close()
})
