-- import.count
SELECT count(*) FROM temp.staged_users WHERE decision = 'insert'
