-- session.refresh: applies an authentic refresh token to its session, in one step: `User::is_session_valid` and
-- `Session::apply_refresh` are the same rules in Rust. The rows are those of the table in docs/sessions.md.
-- KEYS     session, index
-- ARGV     offset_ms, session id, counter of the token, epoch of the user, surviving session of the user or '',
--          resolution of `last_used` in ms, key of the next token or '' if rotation is off, reuse interval in ms,
--          deadline of the caller in ms since 1970 on this server's clock, or 0 if unknown
-- Returns  the time in ms, the label of the outcome, and four fields of the session after the refresh (or before its end) or
--          nil: the time at which it ends, the counters of the current and the next token, and the key of the next one
local id, counter, next_key = ARGV[2], tonumber(ARGV[3]), ARGV[7]

-- The caller has given up, and its client may have used a later token since: this one would look like a reuse.
if tonumber(ARGV[9]) > 0 and now > tonumber(ARGV[9]) then
  return {now, 'too_late', false}
end

-- Row B: not stored or not valid. Nothing is deleted, because the user may have been read stale.
local record = find(KEYS[1])
if not record or (record[EPOCH] ~= ARGV[4] and id ~= ARGV[5]) then
  return {now, 'not_valid', false}
end
local current, next_counter = tonumber(record[CURRENT]), tonumber(record[NEXT])
local is_recent = now - tonumber(record[ROTATED]) <= tonumber(ARGV[8])

-- Stores the counters of the current and the next token.
local function rotate(new_current, new_next)
  record[CURRENT], record[NEXT], record[NEXT_KEY] = new_current, decimal(new_next), next_key
  redis.call('HSET', KEYS[1], 'held', new_current, 'successor', record[NEXT], 'successor_key', next_key,
    'rotated', decimal(now))
end

local outcome
if next_key == '' then                                         -- row C
  local is_valid = counter == current or counter >= next_counter
  outcome = is_valid and 'kept' or 'outdated'
elseif counter == next_counter then                            -- row 1
  rotate(ARGV[3], counter + 1)
  outcome = 'next'
elseif counter == current and is_recent then                   -- row 2
  outcome = 'shared'
elseif counter == current then                                 -- row 3
  rotate(record[CURRENT], next_counter + 1)
  outcome = 'lost_response'
elseif current < counter and counter < next_counter then       -- row 4
  outcome = 'superseded'
elseif counter < current then                                  -- row 5
  outcome = 'reused'
else                                                           -- row 6
  rotate(ARGV[3], counter + 1)
  outcome = 'rollback'
end

if outcome == 'superseded' or outcome == 'reused' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], id)
elseif outcome ~= 'outdated' then
  record_use(KEYS[1], record, ARGV[6])
end
return {now, outcome, {record[EXPIRES], record[CURRENT], record[NEXT], record[NEXT_KEY]}}
