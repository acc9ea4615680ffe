-- device.remember: remembers a device of an account, and removes those that are known no longer or too many. The devices are
-- a sorted set: the score of each is the time until which it is known, in ms since 1970. That decides; the TTL only removes
-- the key.
-- KEYS     devices
-- ARGV     offset_ms, device, duration in ms, largest number of devices
-- Returns  nothing
local devices = KEYS[1]
redis.call('ZREMRANGEBYSCORE', devices, '-inf', decimal(now))
redis.call('ZADD', devices, decimal(now + ARGV[3]), ARGV[2])
redis.call('ZREMRANGEBYRANK', devices, 0, -ARGV[4] - 1)
redis.call('PEXPIRE', devices, ARGV[3])
