--[[
  Sets how long ago the consumer was last heard of, for those of the entries that are still its own: 0 renews their
  leases, a great age gives them up so that the next worker that looks can claim them. Plain XCLAIM would also take
  entries back that another worker has claimed since.

  KEYS[1] jobs stream

  ARGV[1] consumer group
  ARGV[2] consumer
  ARGV[3] milliseconds
  ARGV[4], ...  entry ids

  Returns the ids of the entries that the consumer no longer holds.
]]
local lost = {}
for index = 4, #ARGV do
  local id = ARGV[index]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if #pending == 0 then
    table.insert(lost, id)
  else
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[3], 'JUSTID')
  end
end
return lost
