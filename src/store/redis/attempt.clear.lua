-- attempt.clear: removes a bucket.
-- KEYS     shard
-- ARGV     offset_ms, field
-- Returns  nothing
redis.call('HDEL', KEYS[1], ARGV[2])
