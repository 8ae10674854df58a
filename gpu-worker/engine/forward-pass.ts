/**
 * One run of the compiled graph over a contiguous range of KV cache slots. Two implementations with the same meaning:
 * through ONNX Runtime's C API without copies, and through onnxruntime-node's own binding, which copies, for machines
 * where the first can not load. Neither knows what a sequence, a prompt or a sampler is.
 */
import type { Manifest } from '../model/manifest.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { openNativeForwardPass } from './native-forward-pass.ts'

/** B sequences in slots `firstSlot` to `firstSlot + B - 1`, with S new tokens each. S is 1, or B is 1. */
export interface ForwardPassInput {
  readonly firstSlot: number
  /** Length of each sequence once the new tokens are part of it: B numbers. */
  readonly lengths: readonly number[]
  /** The new tokens, B*S numbers, sequence by sequence. */
  readonly tokens: readonly number[]
  /** Rows b*S + s whose logits are wanted: R numbers. */
  readonly wanted: readonly number[]
}

export interface ForwardPass {
  readonly kind: 'native' | 'binding'
  /**
   * Writes the new tokens' keys and values into the cache and resolves with logits, f32 [R, V], a view that holds until
   * the next run. One run at a time. Throws an `Error` with ONNX Runtime's message.
   */
  run(input: ForwardPassInput): Promise<Float32Array>
  close(): Promise<void>
}

export interface ForwardPassOptions {
  readonly graphPath: string
  readonly manifest: Manifest
  readonly cache: KeyValueCache
  /** New tokens that one run takes at most (B*S). */
  readonly maximumTokens: number
  /** Threads of one operator, the calling one included. */
  readonly threads: number
}

/** Opens the native implementation, or the binding's when the library can not be used; `onFallback` is told why. */
export async function openForwardPass(options: ForwardPassOptions, onFallback: (reason: unknown) => void): Promise<ForwardPass> {
  let library
  try {
    // Not a static import, because koffi itself may have no build for this platform.
    const { loadOnnxRuntime } = await import('./onnxruntime-library.ts')
    library = loadOnnxRuntime()
  } catch (error) {
    onFallback(error)
    const { openBindingForwardPass } = await import('./binding-forward-pass.ts')
    return openBindingForwardPass(options)
  }
  return openNativeForwardPass(options, library)
}
