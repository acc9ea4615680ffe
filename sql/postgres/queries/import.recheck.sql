-- import.recheck
-- After a merge that inserted fewer users than planned: their emails were taken meanwhile.
UPDATE pg_temp.staged_users AS staged SET decision = 'email_taken'
WHERE number > $1 AND number <= $2 AND decision = 'insert' AND NOT EXISTS (SELECT FROM users WHERE users.id = staged.id)
