-- attempt.clear: empties a bucket.
-- KEYS  bucket
redis.call('DEL', KEYS[1])
