-- session.ping: the server's time, and what it does when it is full (nothing where it does not say).
-- KEYS  any, for its slot
-- ARGV  offset_ms
decide(KEYS[1])
local memory = redis.pcall('INFO', 'memory')
local eviction = type(memory) == 'string' and string.match(memory, 'maxmemory_policy:([%w-]+)')
return { decimal(now), eviction or false }
