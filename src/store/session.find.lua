-- session.find: the record of a session that has neither ended nor expired.
-- KEYS  session
-- ARGV  ahead_ms
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local record = redis.call('HMGET', KEYS[1], 'epoch', 'held', 'successor', 'successor_key',
  'rotated', 'created', 'expires', 'last_used', 'address', 'user_agent')
if not record[7] or tonumber(record[7]) <= now then
  return false
end
return record
