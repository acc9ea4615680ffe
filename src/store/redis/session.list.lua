-- session.list: lists the stored sessions of a user, whose keys are in the slot of the index.
-- KEYS     index
-- ARGV     offset_ms, prefix of the session keys
-- Returns  a list of {session id, record, time of the last reauthentication in ms or nil}
local sessions = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = find(ARGV[2] .. id, AUTHENTICATED)
  if record then
    local authenticated = table.remove(record)
    sessions[#sessions + 1] = {id, record, authenticated}
  end
end
return sessions
