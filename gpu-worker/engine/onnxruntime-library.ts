/**
 * ONNX Runtime's C API, called through koffi on the very library that the onnxruntime-node package ships. Its own
 * binding copies every output of every run, which for a KV cache is most of the time; the C API works in place.
 *
 * `OrtGetApiBase()->GetApi(version)` returns a struct of function pointers whose order never changes: new ones are only
 * added at its end (include/onnxruntime/core/session/onnxruntime_c_api.h in microsoft/onnxruntime). The indices below
 * were counted by a script in the header of API version 29. Loading checks that they fit; nothing here knows of models.
 */
import { createRequire } from 'node:module'
import { arch, platform } from 'node:process'
import { dirname, join } from 'node:path'
import koffi from 'koffi'
import type { LibraryHandle } from 'koffi'
import { z } from 'zod'

/** Address of something that the library owns. */
export type Pointer = bigint

const apiVersion = 29

/** ORT's thread that calls `Run` computes on the caller's stack, which with koffi is a block of this size. */
const stackBytes = 8 * 1024 * 1024

const libraryNames: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
}

const pointer = 'void *'
const pathString = platform === 'win32' ? 'str16' : 'str'
const outPointer = koffi.out(koffi.pointer(pointer))

/** Index in OrtApi, result, parameters. Functions whose result is a status return null for success. */
const table = {
  createStatus: [0, pointer, ['int', 'str']],
  getErrorCode: [1, 'int', [pointer]],
  getErrorMessage: [2, 'str', [pointer]],
  createEnv: [3, pointer, ['int', 'str', outPointer]],
  disableTelemetryEvents: [6, pointer, [pointer]],
  createSession: [7, pointer, [pointer, pathString, pointer, outPointer]],
  run: [9, pointer, [pointer, pointer, pointer, pointer, 'size_t', pointer, 'size_t', pointer]],
  createSessionOptions: [10, pointer, [outPointer]],
  setSessionGraphOptimizationLevel: [23, pointer, [pointer, 'int']],
  setIntraOpNumThreads: [24, pointer, [pointer, 'int']],
  createTensorWithData: [49, pointer, [pointer, pointer, 'size_t', pointer, 'size_t', 'int', outPointer]],
  createCpuMemoryInfo: [69, pointer, ['int', 'int', outPointer]],
  releaseEnv: [92, 'void', [pointer]],
  releaseStatus: [93, 'void', [pointer]],
  releaseMemoryInfo: [94, 'void', [pointer]],
  releaseSession: [95, 'void', [pointer]],
  releaseValue: [96, 'void', [pointer]],
  releaseSessionOptions: [100, 'void', [pointer]],
} as const

type FunctionName = keyof typeof table
type Argument = Pointer | ArrayBufferView | string | number | null | [null]

export interface OnnxRuntimeLibrary {
  /** Calls a function that returns a status. Throws an `Error` with ORT's message when it is not a success. */
  call(name: FunctionName, ...parameters: Argument[]): void
  /** As `call`, for a function whose last parameter is where it writes a pointer; returns that. */
  create(name: FunctionName, ...parameters: Argument[]): Pointer
  /** Addresses of the texts as C strings, for a parameter of type `const char* const*`; they stay for good. */
  strings(texts: readonly string[]): BigUint64Array
  /** Releases what `create` returned. */
  release(name: Extract<FunctionName, `release${string}`>, released: Pointer): void
}

// Were the handle collected, koffi would unload the library under its threads.
let loaded: { readonly handle: LibraryHandle; readonly library: OnnxRuntimeLibrary } | undefined

/** Where onnxruntime-node keeps the library for this platform, and the package's version. Throws when it has none. */
function locateLibrary(): { readonly path: string; readonly version: string } {
  const require = createRequire(import.meta.url)
  const name = libraryNames[platform]
  if (name === undefined) throw new Error(`onnxruntime-node ships no library for ${platform}.`)
  // Its main file is dist/index.js; package.json is reached from there, whether or not the package exports it.
  const root = dirname(dirname(require.resolve('onnxruntime-node')))
  const { version } = z.object({ version: z.string() }).parse(require(join(root, 'package.json')))
  return { path: join(root, 'bin', 'napi-v6', platform, arch, name), version }
}

/**
 * Loads the library once per thread and checks it: the version is that of the package, and functions of the table do
 * what their names say. Throws an `Error` that says what does not fit; then onnxruntime-node's own binding has to do.
 */
export function loadOnnxRuntime(): OnnxRuntimeLibrary {
  loaded ??= load(locateLibrary())
  return loaded.library
}

function load({ path, version }: ReturnType<typeof locateLibrary>): NonNullable<typeof loaded> {
  const settings = koffi.config()
  // Refused, even if nothing changes, once a library is loaded.
  if (settings.sync_stack_size !== stackBytes) koffi.config({ ...settings, sync_stack_size: stackBytes })
  const handle = koffi.load(path)
  const base: Pointer = handle.func('OrtGetApiBase', pointer, [])()
  const [getApi, getVersion]: Pointer[] = koffi.decode(base, koffi.array(pointer, 2))
  const found: string = koffi.decode(getVersion, koffi.proto('str', []))()
  if (found !== version) throw new Error(`${path} is ONNX Runtime ${found}, and the package is ${version}.`)
  const api: Pointer | null = koffi.decode(getApi, koffi.proto(pointer, ['uint32_t']))(apiVersion)
  if (api === null) throw new Error(`ONNX Runtime ${found} has no API version ${apiVersion}.`)

  const size = Math.max(...Object.values(table).map(([index]) => index)) + 1
  const addresses: (Pointer | null)[] = koffi.decode(api, koffi.array(pointer, size))
  const functions = Object.fromEntries(
    Object.entries(table).map(([name, [index, result, parameters]]) => {
      const address = addresses[index] ?? null
      if (address === null) throw new Error(`ONNX Runtime ${found} has no function ${name}.`)
      return [name, koffi.decode(address, koffi.proto(result, [...parameters]))]
    }),
  ) as Record<FunctionName, (...parameters: Argument[]) => unknown>

  const keptStrings: Uint8Array[][] = []
  const library: OnnxRuntimeLibrary = {
    call(name, ...parameters) {
      const status = functions[name](...parameters)
      if (status === null) return
      const message = functions.getErrorMessage(status as Pointer)
      functions.releaseStatus(status as Pointer)
      throw new Error(`ONNX Runtime, ${name}: ${String(message)}`)
    },
    create(name, ...parameters) {
      const created: [null] = [null]
      library.call(name, ...parameters, created)
      return (created as readonly [Pointer | null])[0]!
    },
    strings(texts) {
      const bytes = texts.map((text) => new TextEncoder().encode(`${text}\0`))
      keptStrings.push(bytes)
      return BigUint64Array.from(bytes, (text) => koffi.address(text))
    },
    release(name, released) {
      functions[name](released)
    },
  }
  checkTable(functions)
  return { handle, library }
}

/** A status goes through the functions of the table that can be tried without a model; a wrong index would show. */
function checkTable(functions: Record<FunctionName, (...parameters: Argument[]) => unknown>): void {
  const [code, message] = [7, 'a status of our own']
  const status = functions.createStatus(code, message) as Pointer
  const fits = functions.getErrorCode(status) === code && functions.getErrorMessage(status) === message
  functions.releaseStatus(status)
  if (!fits) throw new Error('The function table of ONNX Runtime is not laid out as expected.')
}
