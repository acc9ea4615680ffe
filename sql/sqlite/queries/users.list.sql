-- users.list
SELECT id, email, name, password, standing, role, epoch, kept_session, created, email_verified
FROM users
WHERE (:search IS NULL OR instr(email, lower(:search)) > 0 OR instr(lower(name), lower(:search)) > 0)
  AND (:after_created IS NULL OR (created, id) < (:after_created, :after_id))
ORDER BY created DESC, id DESC
LIMIT :limit
