-- import.recheck
-- After a merge that inserted fewer users than planned: their emails or ids were taken meanwhile.
UPDATE pg_temp.staged_users AS staged
SET decision = CASE WHEN EXISTS (SELECT FROM users WHERE users.id = staged.id) THEN 'id_taken' ELSE 'email_taken' END
WHERE number > $1 AND number <= $2 AND decision = 'insert'
    AND NOT EXISTS (SELECT FROM users WHERE users.id = staged.id AND users.email = staged.email)
