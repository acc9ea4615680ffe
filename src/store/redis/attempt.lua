-- The prelude of the scripts about attempts, after clock.lua.
--
-- A shard is a hash of buckets. The field of a bucket is its key and the name of its limit. Its value is packed, because a
-- Redis hash of few and short fields takes a quarter of the memory: the count in 4 bytes, and in 6 bytes each the end of its
-- charges and the time until which it is kept, in ms since 1970.
local STATE = '>I4I6I6'

-- Returns the count of a bucket, the end of its charges and the time until which it is kept, or zeros if it has expired.
-- Returns also whether the shard has its field.
local function read_state(shard, field)
  local value = redis.call('HGET', shard, field)
  if not value then
    return 0, 0, 0, false
  end
  local count, charged_until, kept_until = struct.unpack(STATE, value)
  if kept_until <= now then
    return 0, 0, 0, true
  end
  return count, charged_until, kept_until, true
end

local function write_state(shard, field, count, charged_until, kept_until)
  redis.call('HSET', shard, field, struct.pack(STATE, count, charged_until, kept_until))
end
