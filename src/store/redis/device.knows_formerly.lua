-- device.knows_formerly: looks up a device in a key of its own, which previous versions have written.
-- KEYS     device
-- ARGV     offset_ms
-- Returns  1 if the device is remembered, otherwise 0
local known_until = redis.call('GET', KEYS[1])
return known_until and tonumber(known_until) > now and 1 or 0
