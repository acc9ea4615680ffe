-- device.remember: a device is known from now on. When that ends is written down, and decides; the TTL tidies up.
-- KEYS  device
-- ARGV  offset_ms, known_for_ms
redis.call('SET', KEYS[1], decimal(now + ARGV[2]), 'PX', ARGV[2])
