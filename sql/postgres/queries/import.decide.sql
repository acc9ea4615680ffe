-- import.decide
CREATE UNIQUE INDEX ON pg_temp.staged_users (number);
ANALYZE pg_temp.staged_users;

UPDATE pg_temp.staged_users AS staged SET decision = 'repeated_id'
FROM (SELECT old_id FROM pg_temp.staged_users WHERE decision <> 'unreadable' GROUP BY old_id HAVING count(*) > 1) AS repeated
WHERE staged.old_id = repeated.old_id;

-- The last ten bytes of an id are its version, its variant and its random bits: one old id in two written forms has the same.
UPDATE pg_temp.staged_users AS staged SET decision = 'repeated_id'
FROM (SELECT substring(uuid_send(id) FROM 7) AS bits FROM pg_temp.staged_users GROUP BY bits HAVING count(*) > 1) AS repeated
WHERE substring(uuid_send(staged.id) FROM 7) = repeated.bits;

UPDATE pg_temp.staged_users AS staged SET decision = 'imported'
FROM users
WHERE users.id = staged.id AND users.email = staged.email AND staged.decision IN ('insert', 'refused');

UPDATE pg_temp.staged_users AS staged SET decision = 'id_taken'
FROM users
WHERE users.id = staged.id AND staged.decision = 'insert';

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
