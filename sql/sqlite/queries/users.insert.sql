-- users.insert
INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created, email_verified)
VALUES (:id, :email, :name, :password, :standing, :role, :epoch, :kept_session, :created, :email_verified)
ON CONFLICT DO NOTHING
