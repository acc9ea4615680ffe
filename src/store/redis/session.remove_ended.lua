-- session.remove_ended: removes the sessions of a user that are out of force by the rule of the epoch, or every one where
-- the user is gone. Their keys lie in the slot of the index.
-- KEYS  index
-- ARGV  ahead_ms, prefix of the sessions' keys, epoch of the user or nothing where there is none, kept session or nothing
-- Gives how many have been removed that had neither ended before nor expired.
local removed = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local is_in_force = ARGV[3] ~= '' and (redis.call('HGET', key, 'epoch') == ARGV[3] or id == ARGV[4])
  if not is_in_force then
    removed = removed + (find(key) and 1 or 0)
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
  end
end
return removed
