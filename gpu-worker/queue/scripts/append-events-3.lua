--[[
  Appends events to a job's result stream, all or none. Only the newest attempt may write, nothing follows a terminal
  event, and an append that is sent twice (its reply was lost with the connection) is written once. Without events it
  asks whether the attempt may go on.

  KEYS[1] result stream
  KEYS[2] job state hash
  KEYS[3] cancel mark

  ARGV[1] attempt
  ARGV[2] number of this append within the attempt, counted from 1
  ARGV[3] seconds that results and state shall live from now
  ARGV[4] the same, when the append ends the job
  ARGV[5], ARGV[6], ...  type and data of each event; a terminal event can only be the last

  Returns {outcome, cancelReason}: 'written', 'fenced' (a newer attempt has the job, or its state is gone) or
  'finished' (the job has a terminal event already); the reason to cancel or nil.
]]
if redis.call('HGET', KEYS[2], 'attempt') ~= ARGV[1] then
  return {'fenced', false}
end
local cancelReason = redis.call('GET', KEYS[3])
local number = tonumber(ARGV[2])
if #ARGV > 4 and tonumber(redis.call('HGET', KEYS[2], 'appended')) >= number then
  return {'written', cancelReason}
end
if redis.call('HEXISTS', KEYS[2], 'terminal') == 1 then
  return {'finished', false}
end

local ttl = ARGV[3]
local deltas = 0
for index = 5, #ARGV, 2 do
  local type = ARGV[index]
  redis.call('XADD', KEYS[1], '*', 'type', type, 'data', ARGV[index + 1])
  if type == 'delta' then
    deltas = deltas + 1
  elseif type == 'done' or type == 'error' then
    redis.call('HSET', KEYS[2], 'terminal', type)
    ttl = ARGV[4]
    redis.call('EXPIRE', KEYS[3], ttl)
    break
  end
end
if #ARGV > 4 then
  redis.call('HSET', KEYS[2], 'appended', number)
end
if deltas > 0 then
  redis.call('HINCRBY', KEYS[2], 'deltas', deltas)
end
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('EXPIRE', KEYS[2], ttl)
return {'written', cancelReason}
