-- sessions.open
INSERT INTO sessions (user, id, epoch, held, successor, successor_key, rotated, created, expires, last_used, idle, address, user_agent)
VALUES (:user, :id, :epoch, :held, :successor, :successor_key, :rotated, :created, :expires, :last_used, :idle, :address, :user_agent)
ON CONFLICT DO NOTHING
