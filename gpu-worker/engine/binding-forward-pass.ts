/**
 * The forward pass through onnxruntime-node's own binding. It writes into our arrays as the native one does, and then
 * copies every output once more, which for large caches is slower than the computation. Only a fallback.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { ForwardPass, ForwardPassOptions } from './forward-pass.ts'
import { createGraphInputs } from './graph-inputs.ts'

/** Throws an `Error` with ONNX Runtime's message when the graph can not be loaded. */
export async function openBindingForwardPass(options: ForwardPassOptions): Promise<ForwardPass> {
  const { graphPath, manifest, cache, maximumTokens, threads } = options
  const { heads, headSize, kvType, vocabularySize } = manifest
  const fill = createGraphInputs(maximumTokens, vocabularySize)
  const session = await InferenceSession.create(graphPath, { intraOpNumThreads: threads, graphOptimizationLevel: 'all', logSeverityLevel: 4 })

  return {
    kind: 'binding',
    async run(input) {
      const { batch, newTokens, inputs, logits } = fill(input)
      const [from, to] = [input.firstSlot * cache.slotElements, (input.firstSlot + batch) * cache.slotElements]
      const view = (data: Float32Array | Uint16Array): Tensor => new Tensor(kvType, data.subarray(from, to), [batch, heads, cache.slotLength, headSize])
      const feeds = [
        ...inputs.map(({ name, type, data, shape }) => [name, new Tensor(type, data, shape)] as const),
        ...cache.tensors.map(({ name, past }) => [`past_${name}`, view(past)] as const),
      ]
      const fetches = [
        [logits.name, new Tensor(logits.type, logits.data, logits.shape)] as const,
        ...cache.tensors.map(({ name, present }) => [`present_${name}`, view(present)] as const),
      ]
      await session.run(Object.fromEntries(feeds), Object.fromEntries(fetches))
      cache.takeOver(input.firstSlot, input.lengths, newTokens)
      return logits.data
    },
    async close() {
      await session.release()
    },
  }
}
