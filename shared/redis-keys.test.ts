import { expect, test } from 'vitest'
import { cancelKey, jobStateKey, jobsKey, resultKey, submittedKey } from './redis-keys.ts'

test('all keys that one script touches share a hash tag, and so a Redis Cluster slot', () => {
  // Redis Cluster hashes what stands between the first { and the next }.
  const tag = (key: string): string | undefined => /\{([^}]+)\}/.exec(key)?.[1]
  expect([resultKey('job_1'), jobStateKey('job_1'), cancelKey('job_1')].map(tag)).toEqual(['job_1', 'job_1', 'job_1'])
  expect([jobsKey('phi', 'batch'), submittedKey('phi', 'job_1')].map(tag)).toEqual(['phi', 'phi'])
})
