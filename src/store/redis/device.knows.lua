-- device.knows: whether a device is known.
-- KEYS  device
-- ARGV  offset_ms
local known_until = redis.call('GET', KEYS[1])
return known_until and tonumber(known_until) > now and 1 or 0
