-- sessions.rotate
UPDATE sessions
SET held = :held, successor = :successor, successor_key = :successor_key, rotated = :rotated
WHERE user = :user AND id = :id
