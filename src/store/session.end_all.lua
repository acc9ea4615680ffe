-- session.end_all: ends every session of a user, or every one but one. Their keys lie in the slot of the index.
-- KEYS  index
-- ARGV  ahead_ms, prefix of the sessions' keys, id of the kept session or nothing
-- Gives how many have ended that were there.
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if id ~= ARGV[3] then
    ended = ended + (find(ARGV[2] .. id) and 1 or 0)
    redis.call('DEL', ARGV[2] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
return ended
