-- session.open: makes a session's key, the only script that does, and enters it into the index of its user. Where the
-- user has too many sessions then, those that are out of force go, and then the oldest ones: their keys lie in the slot
-- of the index.
-- KEYS  session, index
-- ARGV  offset_ms, prefix of the sessions' keys, id, max_sessions, lifetime_ms, idle_ms,
--       epoch, held, successor, successor_key, address, user_agent, kept session of the user
-- Gives the record, and how many have ended that were in force, as far as whoever opens this one knows: a login that took
-- its time may have read an epoch that has passed.
local id, index = ARGV[3], KEYS[2]
write_nothing(redis.call, KEYS[1])
local lifetime, time, ended = tonumber(ARGV[5]), decimal(now), 0

redis.call('ZREMRANGEBYSCORE', index, '-inf', time)
if redis.call('ZCARD', index) >= tonumber(ARGV[4]) then
  local others = {}
  for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local record = other ~= id and find(ARGV[2] .. other)
    if record then
      local is_in_force = record[EPOCH] == ARGV[7] or other == ARGV[13]
      others[#others + 1] = {other, is_in_force and 1 or 0, tonumber(record[CREATED])}
    else
      redis.call('ZREM', index, other)
    end
  end
  table.sort(others, function(one, another)
    return one[2] > another[2] or (one[2] == another[2] and one[3] > another[3])
  end)
  for place = tonumber(ARGV[4]), #others do
    redis.call('DEL', ARGV[2] .. others[place][1])
    redis.call('ZREM', index, others[place][1])
    ended = ended + others[place][2]
  end
end

redis.call('HSET', KEYS[1],
  'epoch', ARGV[7], 'held', ARGV[8], 'successor', ARGV[9], 'successor_key', ARGV[10],
  'rotated', time, 'created', time, 'expires', decimal(now + lifetime), 'last_used', time, 'idle', ARGV[6],
  'address', ARGV[11], 'user_agent', ARGV[12])
local record = find(KEYS[1])
set_ttl(KEYS[1], record)
redis.call('ZADD', index, record[EXPIRES], id)
if redis.call('PTTL', index) < lifetime then
  redis.call('PEXPIRE', index, decimal(lifetime))
end
return {record, ended}
