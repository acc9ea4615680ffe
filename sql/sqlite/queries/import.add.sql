-- import.add
INSERT INTO temp.staged_users (number, old_id, id, email, email_verified, name, password, recipe, standing, role, epoch, created, decision, remark)
VALUES (:number, :old_id, :id, :email, :email_verified, :name, :password, :recipe, :standing, :role, :epoch, :created, :decision, :remark)
