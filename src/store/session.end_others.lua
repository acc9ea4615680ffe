-- session.end_others: ends every session of a user but one. Their keys lie in the slot of the index.
-- KEYS  index
-- ARGV  prefix of the sessions' keys, id of the kept session
-- Gives how many have ended.
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if id ~= ARGV[2] then
    ended = ended + redis.call('DEL', ARGV[1] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
return ended
