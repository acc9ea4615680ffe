-- sessions.remove_ended
-- Removes the sessions that were valid for a user before a write, except one. An epoch is never used again.
DELETE FROM sessions
WHERE user = :user AND (epoch = :former_epoch OR id IS :former_kept) AND id IS NOT :kept
  AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
