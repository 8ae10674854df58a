/**
 * The forward pass through ONNX Runtime's C API: inputs, KV cache and logits are typed arrays of ours that the graph
 * reads and writes where they lie. `run` computes on the calling thread until it is done.
 */
import type { ForwardPass, ForwardPassOptions } from './forward-pass.ts'
import { createGraphInputs } from './graph-inputs.ts'
import type { OnnxRuntimeLibrary, Pointer } from './onnxruntime-library.ts'

/** Values of enumerations in onnxruntime_c_api.h. Errors are thrown, so that they need not be logged. */
const logFatal = 4
const optimizeAll = 99
const arenaAllocator = 1
const defaultMemory = 0
const elementTypes = { float32: 1, int32: 6, int64: 7, float16: 10 } as const

/** Throws an `Error` with ONNX Runtime's message when the graph can not be loaded. */
export function openNativeForwardPass(options: ForwardPassOptions, library: OnnxRuntimeLibrary): ForwardPass {
  const { graphPath, manifest, cache, maximumTokens, threads } = options
  const { heads, headSize, kvType, vocabularySize } = manifest
  const fill = createGraphInputs(maximumTokens, vocabularySize)
  /** What to release at the end, in reverse order. */
  const releases: (() => void)[] = []
  const own = (released: Pointer, release: Parameters<typeof library.release>[0]): Pointer => {
    releases.push(() => library.release(release, released))
    return released
  }
  const close = (): void => {
    while (releases.length > 0) releases.pop()!()
  }

  function openSession(): Pointer {
    const environment = own(library.create('createEnv', logFatal, 'phigate'), 'releaseEnv')
    library.call('disableTelemetryEvents', environment)
    const sessionOptions = library.create('createSessionOptions')
    try {
      library.call('setSessionGraphOptimizationLevel', sessionOptions, optimizeAll)
      // Threads spin between operators by default, which a step of many small operators needs.
      library.call('setIntraOpNumThreads', sessionOptions, threads)
      return own(library.create('createSession', environment, graphPath, sessionOptions), 'releaseSession')
    } finally {
      library.release('releaseSessionOptions', sessionOptions)
    }
  }

  let session: Pointer
  let memory: Pointer
  try {
    session = openSession()
    memory = own(library.create('createCpuMemoryInfo', arenaAllocator, defaultMemory), 'releaseMemoryInfo')
  } catch (error) {
    close()
    throw error
  }

  const tensor = (data: ArrayBufferView, type: keyof typeof elementTypes, shape: readonly number[]): Pointer =>
    library.create(
      'createTensorWithData', memory, data, data.byteLength, BigInt64Array.from(shape, BigInt), shape.length, elementTypes[type],
    )

  /** Cache tensors of `batch` slots from `firstSlot` on; there are few such ranges, and each is used many times. */
  const ranges = new Map<string, { readonly pasts: readonly Pointer[]; readonly presents: readonly Pointer[] }>()
  function cacheRange(firstSlot: number, batch: number): { readonly pasts: readonly Pointer[]; readonly presents: readonly Pointer[] } {
    const key = `${firstSlot}+${batch}`
    let range = ranges.get(key)
    if (range === undefined) {
      const [from, to] = [firstSlot * cache.slotElements, (firstSlot + batch) * cache.slotElements]
      const view = (data: Float32Array | Uint16Array): Pointer =>
        own(tensor(data.subarray(from, to), kvType, [batch, heads, cache.slotLength, headSize]), 'releaseValue')
      const pasts = cache.tensors.map(({ past }) => view(past))
      range = { pasts, presents: cache.tensors.map(({ past, present }, index) => (present === past ? pasts[index]! : view(present))) }
      ranges.set(key, range)
    }
    return range
  }

  const inputNames = library.strings(['input_ids', 'bs', 'seqlens_k', 'total_seq', 'logit_idx', ...cache.tensors.map(({ name }) => `past_${name}`)])
  const outputNames = library.strings(['logits', ...cache.tensors.map(({ name }) => `present_${name}`)])

  return {
    kind: 'native',
    async run(input) {
      const { batch, newTokens, inputs, logits } = fill(input)
      const { pasts, presents } = cacheRange(input.firstSlot, batch)
      const small: Pointer[] = []
      try {
        for (const { data, type, shape } of [...inputs, logits]) small.push(tensor(data, type, shape))
        const inputValues = BigUint64Array.from([...small.slice(0, -1), ...pasts])
        const outputValues = BigUint64Array.from([...small.slice(-1), ...presents])
        library.call(
          'run', session, null, inputNames, inputValues, inputValues.length, outputNames, outputValues.length, outputValues,
        )
      } finally {
        for (const value of small) library.release('releaseValue', value)
      }
      cache.takeOver(input.firstSlot, input.lengths, newTokens)
      return logits.data
    },
    async close() {
      close()
    },
  }
}
