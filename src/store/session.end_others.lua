-- session.end_others: ends every session of a user but one. Their keys lie in the slot of the index.
-- KEYS  index
-- ARGV  ahead_ms, prefix of the sessions' keys, id of the kept session
-- Gives how many have ended that had neither ended nor expired.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if id ~= ARGV[3] then
    local expires = redis.call('HGET', ARGV[2] .. id, 'expires')
    redis.call('DEL', ARGV[2] .. id)
    redis.call('ZREM', KEYS[1], id)
    if expires and tonumber(expires) > now then
      ended = ended + 1
    end
  end
end
return ended
