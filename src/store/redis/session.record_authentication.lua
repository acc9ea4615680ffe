-- session.record_authentication: records that the user of a session has been authenticated. It creates no session, and the key
-- keeps its TTL.
-- KEYS     session
-- ARGV     offset_ms
-- Returns  the time in ms, or nil if the session is not stored
if not find(KEYS[1]) then
  return nil
end
redis.call('HSET', KEYS[1], 'authenticated', decimal(now))
return now
