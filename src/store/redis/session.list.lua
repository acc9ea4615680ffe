-- session.list: every session of a user that is there. Their keys lie in the slot of the index.
-- KEYS  index
-- ARGV  offset_ms, prefix of the sessions' keys
-- Gives pairs of id and record.
local sessions = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = find(ARGV[2] .. id)
  if record then
    sessions[#sessions + 1] = {id, record}
  end
end
return sessions
