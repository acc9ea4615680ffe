-- sessions.remove_ended
-- Those that are out of force, or all of them where the user is gone and has no epoch.
DELETE FROM sessions
WHERE user = :user AND (:epoch IS NULL OR (epoch <> :epoch AND id IS NOT :kept_session))
  AND expires > :now AND (idle IS NULL OR last_used + idle > :now)
