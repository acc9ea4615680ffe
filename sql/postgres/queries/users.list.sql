-- users.list
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE ($1::text IS NULL OR strpos(email, lower($1 COLLATE "C")) > 0 OR strpos(lower(name COLLATE "C"), lower($1 COLLATE "C")) > 0)
  AND ($2::timestamptz IS NULL OR (created, id) < ($2, $3::uuid))
ORDER BY created DESC, id DESC
LIMIT $4
