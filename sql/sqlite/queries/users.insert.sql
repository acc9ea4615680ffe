-- users.insert
INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created, email_verified, has_password)
VALUES (:id, :email, :name, :password, :standing, :role, :epoch, :kept_session, :created, :email_verified, :password IS NOT NULL)
ON CONFLICT DO NOTHING
