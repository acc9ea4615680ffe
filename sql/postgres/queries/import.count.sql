-- import.count
SELECT count(*) AS users FROM pg_temp.staged_users WHERE decision = 'insert'
