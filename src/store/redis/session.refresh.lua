-- session.refresh: decides about an authentic refresh token, by the table of the README, row by row. Says in one step
-- what User::is_session_valid and Session::apply_refresh say in Rust.
-- KEYS  session, index
-- ARGV  offset_ms, id, counter, epoch of the user, kept session of the user, resolution of last_used in ms,
--       key of a new successor or nothing where tokens do not rotate, how long a token is shared in ms,
--       until when the caller waits in ms since 1970, by the clock of this server, or 0 where that is not known
-- Gives the time, the name of the outcome, and the session's record as it is then, or was when it ended.
local id, counter, key = ARGV[2], tonumber(ARGV[3]), ARGV[7]

-- The caller has given up, and may have presented a later token since: this one would look stolen.
if tonumber(ARGV[9]) > 0 and now > tonumber(ARGV[9]) then
  return {decimal(now), 'too_late', false}
end

-- B: not there, or out of force by the rule of the epoch. Nothing is deleted: the user may have been read stale.
local record = find(KEYS[1])
if not record or (record[EPOCH] ~= ARGV[4] and id ~= ARGV[5]) then
  return {decimal(now), 'not_valid', false}
end
local current, next_counter = tonumber(record[HELD]), tonumber(record[SUCCESSOR])
local is_recent = now - tonumber(record[ROTATED]) <= tonumber(ARGV[8])

local function hand_out(new_current, new_next)
  record[HELD], record[SUCCESSOR], record[SUCCESSOR_KEY] = decimal(new_current), decimal(new_next), key
  record[ROTATED] = decimal(now)
  redis.call('HSET', KEYS[1], 'held', record[HELD], 'successor', record[SUCCESSOR], 'successor_key', key,
    'rotated', record[ROTATED])
end

local outcome
if key == '' then                                              -- C
  local is_good = counter == current or counter >= next_counter
  outcome = is_good and 'kept' or 'outdated'
elseif counter == next_counter then                            -- 1
  hand_out(counter, counter + 1)
  outcome = 'next'
elseif counter == current and is_recent then                   -- 2
  outcome = 'shared'
elseif counter == current then                                 -- 3
  hand_out(current, next_counter + 1)
  outcome = 'lost_response'
elseif current < counter and counter < next_counter then       -- 4
  outcome = 'superseded'
elseif counter < current then                                  -- 5
  outcome = 'reused'
else                                                           -- 6
  hand_out(counter, counter + 1)
  outcome = 'rollback'
end

if outcome == 'superseded' or outcome == 'reused' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], id)
elseif outcome ~= 'outdated' then
  record_use(KEYS[1], record, ARGV[6])
end
return {decimal(now), outcome, record}
