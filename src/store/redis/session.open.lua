-- session.open: creates a session's key (no other script does) and adds it to the index of its user. If the user then has
-- too many sessions, ends those that are not valid, and then the oldest ones; their keys are in the slot of the index.
-- New sessions that are not valid do not count and stay.
-- KEYS     session, index
-- ARGV     offset_ms, prefix of the session keys, session id, max_sessions, lifetime_ms, idle_ms or 0,
--          epoch, counter of the current token, counter of the next token, key of the next token, address, user agent, its
--          second field or '', surviving session of the user or '', epoch of the user, age in ms up to which a session is new
-- Returns  the record, and the number of valid sessions that ended. Valid is by the user's epoch and surviving session in
--          ARGV, which may be outdated if the login took long.
local id, index = ARGV[3], KEYS[2]
write_nothing(redis.call, KEYS[1])
local lifetime, time, ended = tonumber(ARGV[5]), decimal(now), 0

redis.call('ZREMRANGEBYSCORE', index, '-inf', time)
if redis.call('ZCARD', index) >= tonumber(ARGV[4]) then
  local others = {}
  for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local record = other ~= id and find(ARGV[2] .. other)
    if record then
      local is_valid = record[EPOCH] == ARGV[15] or other == ARGV[14]
      local created = tonumber(record[CREATED])
      if is_valid or created <= now - tonumber(ARGV[16]) then
        others[#others + 1] = {other, is_valid and 1 or 0, created}
      end
    else
      redis.call('ZREM', index, other)
    end
  end
  -- Valid sessions first, then newest first.
  table.sort(others, function(one, another)
    return one[2] > another[2] or (one[2] == another[2] and one[3] > another[3])
  end)
  for position = tonumber(ARGV[4]), #others do
    redis.call('DEL', ARGV[2] .. others[position][1])
    redis.call('ZREM', index, others[position][1])
    ended = ended + others[position][2]
  end
end

redis.call('HSET', KEYS[1],
  'epoch', ARGV[7], 'created', time, 'expires', decimal(now + lifetime), 'last_used', time, 'idle', ARGV[6],
  'held', ARGV[8], 'successor', ARGV[9], 'successor_key', ARGV[10], 'rotated', time,
  'address', ARGV[11], 'user_agent', ARGV[12])
if ARGV[13] ~= '' then
  redis.call('HSET', KEYS[1], 'user_agent2', ARGV[13])
end
local record = find(KEYS[1], USER_AGENT2)
set_ttl(KEYS[1], record)
redis.call('ZADD', index, record[EXPIRES], id)
if redis.call('PTTL', index) < lifetime then
  redis.call('PEXPIRE', index, decimal(lifetime))
end
return {record, ended}
