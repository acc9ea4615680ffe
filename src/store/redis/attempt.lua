-- The prelude of the scripts about attempts, after clock.lua.

-- Returns the count of a bucket and the end of its charges (fields `count` and `until`), or zeros if the bucket has expired.
-- The field `kept_until` decides when it expires; the TTL only removes the key.
local function read_state(key)
  local record = redis.call('HMGET', key, 'count', 'until', 'kept_until')
  if not record[1] or tonumber(record[3]) <= now then
    return 0, 0
  end
  return tonumber(record[1]), tonumber(record[2])
end
