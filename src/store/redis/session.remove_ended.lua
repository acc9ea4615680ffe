-- session.remove_ended: removes the sessions that were in force for a user as the user was, but for one. An epoch that has
-- passed never comes back: what was opened since is in another one, and stays, however late this comes.
-- KEYS  index
-- ARGV  offset_ms, prefix of the sessions' keys, former epoch, former kept session or nothing, kept session or nothing
-- Gives how many have been removed that had neither ended before nor expired.
local removed = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local was_in_force = redis.call('HGET', key, 'epoch') == ARGV[3] or id == ARGV[4]
  if was_in_force and id ~= ARGV[5] then
    removed = removed + (find(key) and 1 or 0)
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
  end
end
return removed
