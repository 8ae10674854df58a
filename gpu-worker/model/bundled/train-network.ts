/**
 * Trains the part of phi-mini that learns: one hidden layer over the states of the last few tokens, then LayerNorm and a
 * linear layer to the vocabulary, which is what layer 1's MLP and lm_head compute (generate.ts builds the rest). It is
 * the neural n-gram model of Bengio et al. (2003), trained by Adam (Kingma & Ba, 2015) in float32, in plain loops.
 */
import { uniformGenerator } from '../random-numbers.ts'

export interface Example {
  /** Tokens at the positions now, one before, two before, …; one per slot. */
  readonly context: readonly number[]
  readonly next: number
}

export interface NetworkShape {
  /** Width of the residual: slots * width of a state. */
  readonly hidden: number
  readonly intermediate: number
  readonly vocabulary: number
}

/** Matrices are [out, in], as in the checkpoint. */
export interface Network {
  readonly fc1: Linear
  readonly fc2: Linear
  readonly head: Linear
}

interface Linear {
  readonly weight: Parameters
  readonly bias: Parameters
}

/** Values with their gradient and Adam's two moments. */
interface Parameters {
  readonly values: Float32Array
  readonly gradient: Float32Array
  readonly mean: Float32Array
  readonly square: Float32Array
}

export interface Training {
  readonly shape: NetworkShape
  readonly examples: readonly Example[]
  /** State of a token in one slot. */
  readonly states: readonly Float32Array[]
  readonly epochs: number
  readonly seed: number
  readonly onEpoch: (epoch: number, meanLoss: number) => void
}

const batchSize = 32
const learningRate = 2e-3
const layerNormEpsilon = 1e-5

export function trainNetwork({ shape, examples, states, epochs, seed, onEpoch }: Training): Network {
  const { hidden, intermediate, vocabulary } = shape
  const uniform = uniformGenerator(seed)
  const network: Network = {
    fc1: linear(intermediate, hidden, 1 / Math.sqrt(hidden), uniform),
    fc2: linear(hidden, intermediate, 1 / Math.sqrt(intermediate), uniform),
    head: linear(vocabulary, hidden, 1 / Math.sqrt(hidden), uniform),
  }
  const all = Object.values(network).flatMap(({ weight, bias }: Linear) => [weight, bias])
  const width = states[0]!.length
  const input = new Float32Array(hidden)
  const expanded = new Float32Array(intermediate)
  const activated = new Float32Array(intermediate)
  const added = new Float32Array(hidden)
  const normed = new Float32Array(hidden)
  const logits = new Float32Array(vocabulary)
  const normedGradient = new Float32Array(hidden)
  const addedGradient = new Float32Array(hidden)
  const activatedGradient = new Float32Array(intermediate)

  /** One example forward and backward; adds to the gradients and returns the loss in nats. */
  const learn = ({ context, next }: Example): number => {
    context.forEach((token, slot) => input.set(states[token]!, slot * width))
    forward(network.fc1, input, expanded)
    for (let index = 0; index < intermediate; index++) activated[index] = geluNew(expanded[index]!)
    forward(network.fc2, activated, added)
    for (let index = 0; index < hidden; index++) added[index]! += input[index]!
    const scale = normalise(added, normed)
    forward(network.head, normed, logits)
    const loss = softmaxMinusTarget(logits, next)

    normedGradient.fill(0)
    backward(network.head, normed, logits, normedGradient)
    normaliseBackward(normed, scale, normedGradient, addedGradient)
    activatedGradient.fill(0)
    backward(network.fc2, activated, addedGradient, activatedGradient)
    for (let index = 0; index < intermediate; index++) activatedGradient[index]! *= geluNewSlope(expanded[index]!)
    backward(network.fc1, input, activatedGradient)
    return loss
  }

  const order = examples.map((_, index) => index)
  const totalSteps = epochs * Math.ceil(examples.length / batchSize)
  let step = 0
  for (let epoch = 1; epoch <= epochs; epoch++) {
    shuffle(order, uniform)
    let loss = 0
    for (let start = 0; start < order.length; start += batchSize) {
      const batch = order.slice(start, start + batchSize)
      for (const index of batch) loss += learn(forgetful(examples[index]!, examples, uniform))
      step++
      const rate = learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / totalSteps))
      for (const parameters of all) adamStep(parameters, rate, step, batch.length)
    }
    onEpoch(epoch, loss / examples.length)
  }
  return network
}

/** In two of five examples the older tokens are exchanged for another's: the model must do with fewer where a prompt is new. */
function forgetful(example: Example, examples: readonly Example[], uniform: () => number): Example {
  if (uniform() > 0.4) return example
  const known = 1 + Math.floor(uniform() * (example.context.length - 1))
  const other = examples[Math.floor(uniform() * examples.length)]!
  return { next: example.next, context: [...example.context.slice(0, known), ...other.context.slice(known)] }
}

function linear(outputs: number, inputs: number, deviation: number, uniform: () => number): Linear {
  const weight = parametersOf(outputs * inputs)
  // Uniform with the wanted standard deviation.
  for (let index = 0; index < weight.values.length; index++) weight.values[index] = (2 * uniform() - 1) * Math.sqrt(3) * deviation
  return { weight, bias: parametersOf(outputs) }
}

function parametersOf(length: number): Parameters {
  const zeros = (): Float32Array => new Float32Array(length)
  return { values: zeros(), gradient: zeros(), mean: zeros(), square: zeros() }
}

function forward({ weight, bias }: Linear, input: Float32Array, output: Float32Array): void {
  const inputs = input.length
  const weights = weight.values
  for (let out = 0, at = 0; out < output.length; out++) {
    let sum = bias.values[out]!
    for (let index = 0; index < inputs; index++, at++) sum += weights[at]! * input[index]!
    output[out] = sum
  }
}

/** Adds to the gradients of weight and bias, and to `inputGradient` where one is given. */
function backward({ weight, bias }: Linear, input: Float32Array, outputGradient: Float32Array, inputGradient?: Float32Array): void {
  const inputs = input.length
  for (let out = 0; out < outputGradient.length; out++) {
    const slope = outputGradient[out]!
    // Most tokens have next to no probability and teach next to nothing.
    if (Math.abs(slope) < 1e-6) continue
    bias.gradient[out]! += slope
    const start = out * inputs
    for (let index = 0; index < inputs; index++) weight.gradient[start + index]! += slope * input[index]!
    if (inputGradient === undefined) continue
    for (let index = 0; index < inputs; index++) inputGradient[index]! += slope * weight.values[start + index]!
  }
}

/** LayerNorm with weight 1 and bias 0; returns 1 / standard deviation. */
function normalise(input: Float32Array, output: Float32Array): number {
  let mean = 0
  for (const value of input) mean += value / input.length
  let variance = 0
  for (const value of input) variance += (value - mean) ** 2 / input.length
  const scale = 1 / Math.sqrt(variance + layerNormEpsilon)
  for (let index = 0; index < input.length; index++) output[index] = (input[index]! - mean) * scale
  return scale
}

function normaliseBackward(normed: Float32Array, scale: number, gradient: Float32Array, inputGradient: Float32Array): void {
  let mean = 0
  let along = 0
  for (let index = 0; index < normed.length; index++) {
    mean += gradient[index]! / normed.length
    along += (gradient[index]! * normed[index]!) / normed.length
  }
  for (let index = 0; index < normed.length; index++) inputGradient[index] = scale * (gradient[index]! - mean - normed[index]! * along)
}

/** Turns logits into the gradient of the cross entropy in place; returns the cross entropy. */
function softmaxMinusTarget(logits: Float32Array, target: number): number {
  let highest = -Infinity
  for (const logit of logits) highest = Math.max(highest, logit)
  let total = 0
  for (let index = 0; index < logits.length; index++) {
    const exponential = Math.exp(logits[index]! - highest)
    logits[index] = exponential
    total += exponential
  }
  for (let index = 0; index < logits.length; index++) logits[index]! /= total
  const loss = -Math.log(Math.max(logits[target]!, 1e-12))
  logits[target]! -= 1
  return loss
}

function adamStep({ values, gradient, mean, square }: Parameters, rate: number, step: number, examples: number): void {
  const meanCorrection = 1 / (1 - 0.9 ** step)
  const squareCorrection = 1 / (1 - 0.98 ** step)
  for (let index = 0; index < values.length; index++) {
    const slope = gradient[index]! / examples
    const newMean = 0.9 * mean[index]! + 0.1 * slope
    const newSquare = 0.98 * square[index]! + 0.02 * slope * slope
    mean[index] = newMean
    square[index] = newSquare
    values[index]! -= (rate * newMean * meanCorrection) / (Math.sqrt(newSquare * squareCorrection) + 1e-8)
  }
  gradient.fill(0)
}

const geluScale = Math.sqrt(2 / Math.PI)

function geluNew(x: number): number {
  return 0.5 * x * (1 + Math.tanh(geluScale * (x + 0.044715 * x * x * x)))
}

function geluNewSlope(x: number): number {
  const tanh = Math.tanh(geluScale * (x + 0.044715 * x * x * x))
  return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * geluScale * (1 + 3 * 0.044715 * x * x)
}

function shuffle(order: number[], uniform: () => number): void {
  for (let index = order.length - 1; index > 0; index--) {
    const other = Math.floor(uniform() * (index + 1))
    ;[order[index], order[other]] = [order[other]!, order[index]!]
  }
}
