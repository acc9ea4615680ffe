-- users.last_login
SELECT at FROM user_logins WHERE user_id = :id
