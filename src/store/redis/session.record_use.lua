-- session.record_use: records that a session is used. It creates no session, and `last_used` never goes back.
-- KEYS     session
-- ARGV     offset_ms, resolution of `last_used` in ms
-- Returns  1, or 0 if the session is not stored
local record = find(KEYS[1])
if not record then
  return 0
end
record_use(KEYS[1], record, ARGV[2])
return 1
