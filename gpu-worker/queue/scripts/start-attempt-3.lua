--[[
  Starts an attempt at a job, unless the job has already ended. From here on only this attempt can write to the job's
  results: the attempt number is the fencing token of append-events-3.

  KEYS[1] result stream
  KEYS[2] job state hash
  KEYS[3] cancel mark

  ARGV[1] seconds that results and state shall live from now

  Returns {attempt, deltas, terminal, cancelReason}: the number of this attempt (0 when the job has ended), how many
  deltas earlier attempts wrote, the type of the terminal event or nil, and the reason to cancel or nil.
]]
local terminal = redis.call('HGET', KEYS[2], 'terminal')
local deltas = tonumber(redis.call('HGET', KEYS[2], 'deltas') or '0')
if terminal then
  return {0, deltas, terminal, false}
end
local attempt = redis.call('HINCRBY', KEYS[2], 'attempt', 1)
redis.call('HSET', KEYS[2], 'appended', 0)
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return {attempt, deltas, false, redis.call('GET', KEYS[3])}
