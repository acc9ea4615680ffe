-- attempt.reserve: reserves an attempt if the bucket allows one, as `GcraState::reserve` does in memory.
-- KEYS     bucket
-- ARGV     offset_ms, burst_ms, ttl_ms, count from which the long TTL applies, long TTL in ms, then the charges in ms of the
--          first attempt, the second, and so on
-- Returns  if allowed: 0, the charge in ms, the count; if denied: the time to wait in ms, 0, 0
local count, charged_until = read_state(KEYS[1])
local wait = charged_until - tonumber(ARGV[2]) - now
if wait > 0 then
  return {wait, 0, 0}
end
count = count + 1
local charge = tonumber(ARGV[5 + math.min(count, #ARGV - 5)])
if charge > 0 then
  charged_until = math.max(charged_until, now) + charge
end
local ttl = tonumber(count >= tonumber(ARGV[4]) and ARGV[5] or ARGV[3])
local kept_until = math.max(charged_until, now + ttl)
redis.call('HSET', KEYS[1], 'count', count, 'until', decimal(charged_until), 'kept_until', decimal(kept_until))
redis.call('PEXPIRE', KEYS[1], decimal(math.max(kept_until - now, 1)))
return {0, charge, count}
