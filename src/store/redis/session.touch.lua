-- session.touch: finds a session and records that it is used.
-- KEYS     session
-- ARGV     offset_ms, resolution of `last_used` in ms
-- Returns  the session's record, or nil if it is not stored
local record = find(KEYS[1])
if not record then
  return false
end
record_use(KEYS[1], record, ARGV[2])
return record
