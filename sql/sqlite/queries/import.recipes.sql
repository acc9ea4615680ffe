-- import.recipes
INSERT INTO main.imported_hashes (recipe, users)
SELECT recipe, count(*) FROM temp.staged_users
WHERE number > :after AND number <= :last AND decision = 'insert' AND recipe IS NOT NULL GROUP BY recipe
ON CONFLICT (recipe) DO UPDATE SET users = users + excluded.users
