-- import.recheck
-- In the transaction of a merge that inserted fewer users than planned: their emails were taken meanwhile.
UPDATE temp.staged_users SET decision = 'email_taken'
WHERE number > :after AND number <= :last AND decision = 'insert' AND NOT EXISTS (SELECT 1 FROM main.users WHERE users.id = staged_users.id)
