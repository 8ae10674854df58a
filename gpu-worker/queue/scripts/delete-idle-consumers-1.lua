--[[
  Deletes the consumers that hold no entry and have not been heard of for long: workers that are gone. Deleting one that
  holds entries would lose them, so the check and the deletion are one step. A worker that was deleted by mistake
  comes back with its next read.

  KEYS[1] jobs stream

  ARGV[1] consumer group
  ARGV[2] milliseconds of silence

  Returns the names of the deleted consumers.
]]
local deleted = {}
for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for index = 1, #reply, 2 do
    consumer[reply[index]] = reply[index + 1]
  end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    table.insert(deleted, consumer.name)
  end
end
return deleted
