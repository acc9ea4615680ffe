-- The prelude of the scripts about sessions, after clock.lua.
--
-- A session is a hash. Its fields `held` and `successor` are the counters of the current and the next refresh token, and
-- `successor_key` names the key that signs the next one. `authenticated` is the time of the last reauthentication; a session
-- without it was authenticated when it was created. `user_agent.rs` describes `user_agent` and `user_agent2`.

-- The order of the fields in a record and in the hash. Redis finds the first fields of a small hash soonest, so those that a
-- signed-in request needs come first. Times and `idle` are in ms; an `idle` of 0 means no idle limit.
local FIELDS = {'epoch', 'created', 'expires', 'last_used', 'idle', 'held', 'successor', 'successor_key', 'rotated',
  'address', 'user_agent', 'user_agent2', 'authenticated'}
local EPOCH, CREATED, EXPIRES, LAST_USED, IDLE, CURRENT, NEXT, NEXT_KEY, ROTATED = 1, 2, 3, 4, 5, 6, 7, 8, 9
local USER_AGENT2, AUTHENTICATED = 12, 13

-- Makes a write that changes nothing, and fails if the server accepts no writes. A script must make it before any other
-- write: after its first write, a full server accepts the rest of the script.
local function write_nothing(call, key)
  return call('SETRANGE', key .. ':', '0', '')
end

-- Returns whether an error says only that the server is full or cannot save. Such a server still has all data.
local function is_out_of_space(error)
  return error:find('OOM', 1, true) or error:find('MISCONF', 1, true)
end

local is_primary = false

-- Fails if the server's data may be stale, because it has become a replica or lacks the replicas that it requires. Neither
-- changes while a script runs, so only the first call makes the write.
local function fail_unless_primary(key)
  local outcome = not is_primary and write_nothing(redis.pcall, key)
  if type(outcome) == 'table' and not is_out_of_space(outcome.err) then
    -- Repeats the write without pcall, which ends the script with the error.
    write_nothing(redis.call, key)
  end
  is_primary = true
end

-- Returns the record of a session up to a field, by default without its client, or nil if it has ended, expired, or exceeded
-- its idle limit.
local function find(key, last_field)
  fail_unless_primary(key)
  local record = redis.call('HMGET', key, unpack(FIELDS, 1, last_field or ROTATED))
  if not record[EXPIRES] or tonumber(record[EXPIRES]) <= now then
    return nil
  end
  -- A session that an earlier version opened has no `idle`.
  record[IDLE] = record[IDLE] or '0'
  local idle = tonumber(record[IDLE])
  if idle > 0 and tonumber(record[LAST_USED]) + idle <= now then
    return nil
  end
  return record
end

-- Sets the TTL of a session's key, which only removes the key: the record decides when the session ends.
local function set_ttl(key, record)
  local ttl, idle = tonumber(record[EXPIRES]) - now, tonumber(record[IDLE])
  if idle > 0 and idle < ttl then
    ttl = idle
  end
  redis.call('PEXPIRE', key, decimal(ttl))
end

-- Records that a session is used, unless the recorded use is less than `resolution` ago. If the server is full or cannot
-- save, the use of a session without an idle limit is not recorded; with an idle limit, the script fails.
local function record_use(key, record, resolution)
  if now - tonumber(record[LAST_USED]) < tonumber(resolution) then
    return
  end
  local outcome = redis.pcall('HSET', key, 'last_used', decimal(now))
  if type(outcome) == 'number' then
    record[LAST_USED] = decimal(now)
    set_ttl(key, record)
  elseif tonumber(record[IDLE]) > 0 or not is_out_of_space(outcome.err) then
    -- Repeats the write without pcall, which ends the script with the error.
    redis.call('HSET', key, 'last_used', decimal(now))
  end
end
