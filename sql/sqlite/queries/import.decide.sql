-- import.decide
CREATE INDEX temp.staged_users_by_old_id ON staged_users (old_id);
CREATE INDEX temp.staged_users_by_bits ON staged_users (substr(id, 7));
CREATE INDEX temp.staged_users_by_email ON staged_users (email);

UPDATE temp.staged_users SET decision = 'repeated_id'
WHERE old_id IN (SELECT old_id FROM temp.staged_users WHERE decision <> 'unreadable' GROUP BY old_id HAVING count(*) > 1);

-- The last ten bytes of an id are its version, its variant and its random bits: one old id in two written forms has the same.
UPDATE temp.staged_users SET decision = 'repeated_id'
WHERE substr(id, 7) IN (SELECT substr(id, 7) FROM temp.staged_users GROUP BY substr(id, 7) HAVING count(*) > 1);

UPDATE temp.staged_users SET decision = 'imported'
WHERE decision IN ('insert', 'refused')
    AND EXISTS (SELECT 1 FROM main.users WHERE users.id = staged_users.id AND users.email = staged_users.email);

UPDATE temp.staged_users SET decision = 'id_taken'
WHERE decision = 'insert' AND EXISTS (SELECT 1 FROM main.users WHERE users.id = staged_users.id);

UPDATE temp.staged_users
SET decision = 'imported', id = (SELECT users.id FROM main.users WHERE users.email = staged_users.email)
WHERE decision IN ('insert', 'refused')
    AND EXISTS (SELECT 1 FROM main.users WHERE users.email = staged_users.email AND substr(users.id, 7) = substr(staged_users.id, 7));

UPDATE temp.staged_users SET decision = 'repeated_email'
WHERE decision = 'insert' AND email IN (SELECT email FROM temp.staged_users GROUP BY email HAVING count(*) > 1);

UPDATE temp.staged_users SET decision = 'email_taken'
WHERE decision = 'insert' AND EXISTS (SELECT 1 FROM main.users WHERE users.email = staged_users.email);
