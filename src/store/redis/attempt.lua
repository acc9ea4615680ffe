-- What every script about attempts begins with, after the clock.

-- Count and end of the charges of a bucket. Until when it is kept is written down, and decides; the TTL tidies up.
local function level(key)
  local record = redis.call('HMGET', key, 'count', 'until', 'kept_until')
  if not record[1] or tonumber(record[3]) <= now then
    return 0, 0
  end
  return tonumber(record[1]), tonumber(record[2])
end
