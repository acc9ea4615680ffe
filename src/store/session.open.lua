-- session.open: makes a session's key, the only script that does, and enters it into the index of its user.
-- KEYS  session, index
-- ARGV  ahead_ms, lifetime_ms, id, epoch, held, successor, successor_key, address, user_agent
-- Gives the record, as session.find does.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local lifetime = tonumber(ARGV[2])
local time, expires = string.format('%.0f', now), string.format('%.0f', now + lifetime)
redis.call('HSET', KEYS[1],
  'epoch', ARGV[4], 'held', ARGV[5], 'successor', ARGV[6], 'successor_key', ARGV[7],
  'rotated', time, 'created', time, 'expires', expires, 'last_used', time,
  'address', ARGV[8], 'user_agent', ARGV[9])
redis.call('PEXPIRE', KEYS[1], lifetime)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time)
redis.call('ZADD', KEYS[2], expires, ARGV[3])
if redis.call('PTTL', KEYS[2]) < lifetime then
  redis.call('PEXPIRE', KEYS[2], lifetime)
end
return redis.call('HMGET', KEYS[1], 'epoch', 'held', 'successor', 'successor_key',
  'rotated', 'created', 'expires', 'last_used', 'address', 'user_agent')
