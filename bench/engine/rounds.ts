/**
 * The order of the measurements: a group is a configuration of ours or several, and the peer that they are compared with.
 * Within a round, each measurement is taken of all members of the group one right after the other, in turn from the first
 * to the last and from the last to the first, so that a machine that changes its speed does so for all of them alike.
 */
import type { RunningContender } from './start-contender.ts'
import type { Measured, Measurement } from './measurements.ts'

export interface Task {
  /** As it stands in the table. */
  readonly title: string
  readonly measurement: Measurement
  /** It is left out of later rounds: for what takes long. */
  readonly rounds: number
}

export interface Sample extends Measured {
  readonly contender: string
  readonly title: string
  readonly round: number
}

export interface RoundsOptions {
  readonly group: readonly RunningContender[]
  readonly tasks: readonly Task[]
  readonly rounds: number
  readonly vocabularySize: number
  /** On the clock of `performance`: a round that would end after it, by the last one's time, is not begun. The first always is. */
  readonly deadline: number
  /** Called before each measurement. */
  readonly onStep: (step: { readonly contender: string; readonly title: string; readonly round: number }) => void
}

export async function runRounds({ group, tasks, rounds, vocabularySize, deadline, onStep }: RoundsOptions): Promise<Sample[]> {
  const samples: Sample[] = []
  let lasted = 0
  for (let round = 0; round < rounds; round++) {
    const started = performance.now()
    if (round > 0 && started + lasted > deadline) break
    for (const [index, { title, measurement }] of tasks.entries()) {
      if (round >= tasks[index]!.rounds) continue
      const order = (round + index) % 2 === 0 ? group : group.toReversed()
      for (const contender of order) {
        onStep({ contender: contender.specification.name, title, round })
        // The same prompts for all members, others in each round.
        const measured = await contender.measure(measurement, round * tasks.length + index, vocabularySize)
        samples.push({ contender: contender.specification.name, title, round, ...measured })
      }
    }
    lasted = performance.now() - started
  }
  return samples
}
