-- session.remove_ended: removes the sessions that were valid for a user before a write, except one. An epoch is never used
-- again, so sessions that were opened after the write are in another epoch and stay, no matter how late this script runs.
-- KEYS     index
-- ARGV     offset_ms, prefix of the session keys, former epoch, former surviving session or '', surviving session or ''
-- Returns  the number of sessions removed that had neither ended nor expired
local removed = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local was_valid = redis.call('HGET', key, 'epoch') == ARGV[3] or id == ARGV[4]
  if was_valid and id ~= ARGV[5] then
    removed = removed + (find(key) and 1 or 0)
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
  end
end
return removed
