-- session.ping: reads the server's time and its eviction policy.
-- KEYS     any key, for its slot
-- ARGV     offset_ms
-- Returns  the time in ms, and `maxmemory-policy` or nil if the server does not report it
fail_unless_primary(KEYS[1])
local memory = redis.pcall('INFO', 'memory')
local policy = type(memory) == 'string' and string.match(memory, 'maxmemory_policy:([%w-]+)')
return {now, policy or false}
