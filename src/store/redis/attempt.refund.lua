-- attempt.refund: gives back an attempt that was reserved. A bucket that is empty stays so; one that has got everything
-- back is removed: what is refused costs its sender nothing, and so must leave nothing behind.
-- KEYS  bucket
-- ARGV  offset_ms, charge_ms
local count, ends = level(KEYS[1])
if count == 1 then
  redis.call('DEL', KEYS[1])
elseif count > 1 then
  redis.call('HSET', KEYS[1], 'count', count - 1, 'until', decimal(math.max(ends - tonumber(ARGV[2]), 0)))
end
