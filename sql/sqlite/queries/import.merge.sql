-- import.merge
INSERT INTO main.users (id, email, name, password, standing, role, epoch, created, email_verified, has_password)
SELECT id, email, name, password, standing, role, epoch, created, email_verified, password IS NOT NULL
FROM temp.staged_users WHERE number > :after AND number <= :last AND decision = 'insert' ORDER BY number
ON CONFLICT DO NOTHING
