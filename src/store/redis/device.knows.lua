-- device.knows: looks up a device of an account.
-- KEYS     devices
-- ARGV     offset_ms, device
-- Returns  1 if the device is remembered, otherwise 0
local known_until = redis.call('ZSCORE', KEYS[1], ARGV[2])
return known_until and tonumber(known_until) > now and 1 or 0
