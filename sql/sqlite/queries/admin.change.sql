-- admin.change
UPDATE users
SET name = coalesce(:name, name),
    email = coalesce(:email, email),
    email_verified = coalesce(:email_verified, email_verified AND (:email IS NULL OR :email = email)),
    role = coalesce(:role, role),
    standing = coalesce(:standing, standing),
    password = CASE WHEN :sets_password THEN :password ELSE password END,
    has_password = CASE WHEN :sets_password THEN :password IS NOT NULL ELSE has_password END,
    epoch = coalesce(:epoch, epoch),
    kept_session = CASE WHEN :epoch IS NULL THEN kept_session END
WHERE id = :id
RETURNING id, email, name, password, standing, role, epoch, kept_session, created, email_verified, last_login
