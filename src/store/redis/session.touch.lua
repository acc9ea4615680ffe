-- session.touch: the record of a session that a request speaks for, if it is there; notes that it is used.
-- KEYS  session
-- ARGV  offset_ms, resolution of last_used in ms
local record = find(KEYS[1])
if not record then
  return false
end
record_use(KEYS[1], record, ARGV[2])
return record
