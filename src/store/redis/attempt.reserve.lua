-- attempt.reserve: reserves an attempt where the bucket has room, as `Level::reserve` does in memory.
-- KEYS  bucket
-- ARGV  offset_ms, burst_ms, ttl_ms, kept_on_from, kept_on_for_ms, charge_ms of the first attempt, of the second, …
-- Gives the wait in milliseconds, or 0 with the charge in milliseconds and the count.
local count, ends = level(KEYS[1])
local wait = ends - tonumber(ARGV[2]) - now
if wait > 0 then
  return {wait, 0, 0}
end
count = count + 1
local charge = tonumber(ARGV[5 + math.min(count, #ARGV - 5)])
if charge > 0 then
  ends = math.max(ends, now) + charge
end
local ttl = tonumber(count >= tonumber(ARGV[4]) and ARGV[5] or ARGV[3])
local kept_until = math.max(ends, now + ttl)
redis.call('HSET', KEYS[1], 'count', count, 'until', decimal(ends), 'kept_until', decimal(kept_until))
redis.call('PEXPIRE', KEYS[1], decimal(math.max(kept_until - now, 1)))
return {0, charge, count}
