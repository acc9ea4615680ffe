-- What every script about sessions begins with, after the clock.

-- The order of a session's record. Times and `idle` are in milliseconds; an `idle` of 0 is none.
local FIELDS = {'epoch', 'held', 'successor', 'successor_key', 'rotated', 'created', 'expires', 'last_used', 'idle',
  'address', 'user_agent'}
local EPOCH, HELD, SUCCESSOR, SUCCESSOR_KEY, ROTATED, CREATED, EXPIRES, LAST_USED, IDLE = 1, 2, 3, 4, 5, 6, 7, 8, 9

-- A write that changes nothing, and is refused where any other one would be. It comes before all others: once a script has
-- written anything, a server that is full takes the rest.
local function write_nothing(call, key)
  return call('SETRANGE', key .. ':', 0, '')
end

-- Fails where this server may not know any more what is so, because it has become a replica or misses its own. One that is
-- full, or cannot save, is believed.
local function decide(key)
  local outcome = write_nothing(redis.pcall, key)
  if type(outcome) == 'table' and not (outcome.err:find('OOM', 1, true) or outcome.err:find('MISCONF', 1, true)) then
    -- Once more, to fail.
    write_nothing(redis.call, key)
  end
end

-- The record of a session that has neither ended nor expired, nor gone unused for too long.
local function find(key)
  decide(key)
  local record = redis.call('HMGET', key, unpack(FIELDS))
  if not record[EXPIRES] or tonumber(record[EXPIRES]) <= now then
    return nil
  end
  -- One that an earlier version has opened.
  record[IDLE] = record[IDLE] or '0'
  local idle = tonumber(record[IDLE])
  if idle > 0 and tonumber(record[LAST_USED]) + idle <= now then
    return nil
  end
  return record
end

-- Gives a session's key its TTL, which only tidies up: the record decides.
local function set_ttl(key, record)
  local left, idle = tonumber(record[EXPIRES]) - now, tonumber(record[IDLE])
  if idle > 0 and idle < left then
    left = idle
  end
  redis.call('PEXPIRE', key, decimal(left))
end

-- Notes that a session is used, unless its last use was noted less than a resolution ago. A server that is full, or cannot
-- save, still says what a session is that need not be used.
local function record_use(key, record, resolution)
  if now - tonumber(record[LAST_USED]) < tonumber(resolution) then
    return
  end
  local outcome = redis.pcall('HSET', key, 'last_used', decimal(now))
  if type(outcome) == 'number' then
    record[LAST_USED] = decimal(now)
    set_ttl(key, record)
  elseif tonumber(record[IDLE]) > 0 or not (outcome.err:find('OOM', 1, true) or outcome.err:find('MISCONF', 1, true)) then
    -- Once more, to fail.
    redis.call('HSET', key, 'last_used', decimal(now))
  end
end
