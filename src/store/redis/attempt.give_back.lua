-- attempt.give_back: gives back an attempt that was reserved. A bucket that has been emptied meanwhile stays as it is.
-- KEYS  bucket
-- ARGV  ahead_ms, charge_ms
local count, ends = level(KEYS[1])
if count > 0 then
  redis.call('HSET', KEYS[1], 'count', count - 1, 'until', decimal(math.max(ends - tonumber(ARGV[2]), 0)))
end
