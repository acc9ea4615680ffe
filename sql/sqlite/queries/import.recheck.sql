-- import.recheck
-- In the transaction of a merge that inserted fewer users than planned: their emails or ids were taken meanwhile.
UPDATE temp.staged_users
SET decision = CASE WHEN EXISTS (SELECT 1 FROM main.users WHERE users.id = staged_users.id) THEN 'id_taken' ELSE 'email_taken' END
WHERE number > :after AND number <= :last AND decision = 'insert'
    AND NOT EXISTS (SELECT 1 FROM main.users WHERE users.id = staged_users.id AND users.email = staged_users.email)
