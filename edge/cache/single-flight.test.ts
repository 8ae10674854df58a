import { expect, test } from 'vitest'
import { createSingleFlight } from './single-flight.ts'

const never = new Promise<string>(() => undefined)

test('callers at the same time share one load, later ones load again', async () => {
  const flights = createSingleFlight<number>(10_000)
  let loads = 0
  const load = async () => ++loads
  expect(await Promise.all([flights.run('a', load), flights.run('a', load), flights.run('b', load)])).toEqual([1, 1, 2])
  expect(await flights.run('a', load)).toBe(3)
})

test('a failed load fails for all who shared it and is not kept', async () => {
  const flights = createSingleFlight<number>(10_000)
  const failing = () => Promise.reject(new Error('away'))
  const results = await Promise.allSettled([flights.run('a', failing), flights.run('a', failing)])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await flights.run('a', async () => 1)).toBe(1)
})

test('whoever runs out of patience with a load that died loads for himself', async () => {
  const flights = createSingleFlight<string>(5)
  void flights.run('a', () => never)
  expect(await flights.run('a', async () => 'own')).toBe('own')
})

test('after forget, nobody joins a load that began before', async () => {
  const flights = createSingleFlight<string>(600_000)
  void flights.run('a', () => never)
  flights.forget()
  expect(await flights.run('a', async () => 'fresh')).toBe('fresh')
})
