-- admin.end_all_sessions
UPDATE users
SET epoch = :epoch, kept_session = NULL
