-- session.refresh: decides about an authentic refresh token, by the table of the README, row by row.
-- KEYS  session
-- ARGV  ahead_ms, id, counter, epoch of the user, kept session of the user, resolution of last_used in ms
-- Gives 'granted' and the record, or 'not in force' or 'replaced' and none.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local record = redis.call('HMGET', KEYS[1], 'epoch', 'held', 'successor', 'successor_key',
  'rotated', 'created', 'expires', 'last_used', 'address', 'user_agent')
local epoch, held, successor = record[1], tonumber(record[2]), tonumber(record[3])
local expires, last_used = tonumber(record[7]), tonumber(record[8])

-- B: absent, expired, or out of force by the rule of the epoch. Nothing is deleted: the user may have been read stale.
if not epoch or expires <= now or (epoch ~= ARGV[4] and ARGV[2] ~= ARGV[5]) then
  return {'not in force', false}
end

-- C: rotation is off.
local counter = tonumber(ARGV[3])
if counter ~= held and counter < successor then
  return {'replaced', false}
end
if now - last_used >= tonumber(ARGV[6]) then
  record[8] = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'last_used', record[8])
end
return {'granted', record}
