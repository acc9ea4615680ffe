-- device.remember: remembers a device. The stored end of that time decides; the TTL only removes the key.
-- KEYS     device
-- ARGV     offset_ms, duration in ms
-- Returns  nothing
redis.call('SET', KEYS[1], decimal(now + ARGV[2]), 'PX', ARGV[2])
