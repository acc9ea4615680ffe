-- sessions.remove_ended
-- Those that were in force for a user as the user was, but for one: an epoch that has passed never comes back.
DELETE FROM sessions
WHERE user = :user AND (epoch = :former_epoch OR id IS :former_kept) AND id IS NOT :kept
  AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
