-- attempt.clear: removes a bucket.
-- KEYS     bucket
-- ARGV     offset_ms
-- Returns  nothing
redis.call('DEL', KEYS[1])
