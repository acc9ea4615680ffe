-- users.insert
INSERT INTO users (id, email, name, password, standing, role, epoch, kept_session, created)
VALUES (:id, :email, :name, :password, :standing, :role, :epoch, :kept_session, :created)
ON CONFLICT DO NOTHING
