-- admin.administrators
-- The users who can administer. The writer reads them in the transaction in which it decides.
SELECT id
FROM users
WHERE role = 'administrator' AND standing = 'active' AND has_password
