-- import.decide
CREATE UNIQUE INDEX ON pg_temp.staged_users (number);
ANALYZE pg_temp.staged_users;

UPDATE pg_temp.staged_users AS staged SET decision = 'repeated_id'
FROM (SELECT old_id FROM pg_temp.staged_users GROUP BY old_id HAVING count(*) > 1) AS repeated
WHERE staged.old_id = repeated.old_id;

UPDATE pg_temp.staged_users AS staged
SET decision = CASE WHEN users.email = staged.email THEN 'imported' ELSE 'imported_other_email' END
FROM users
WHERE users.id = staged.id AND staged.decision <> 'repeated_id';

-- The last ten bytes of an id are its version, its variant and its random bits.
UPDATE pg_temp.staged_users AS staged SET decision = 'imported', id = users.id
FROM users
WHERE users.email = staged.email AND staged.decision IN ('insert', 'refused')
    AND substring(uuid_send(users.id) FROM 7) = substring(uuid_send(staged.id) FROM 7);

UPDATE pg_temp.staged_users AS staged SET decision = 'repeated_email'
FROM (SELECT email FROM pg_temp.staged_users GROUP BY email HAVING count(*) > 1) AS repeated
WHERE staged.email = repeated.email AND staged.decision = 'insert';

UPDATE pg_temp.staged_users AS staged SET decision = 'email_taken'
FROM users
WHERE users.email = staged.email AND staged.decision = 'insert';
