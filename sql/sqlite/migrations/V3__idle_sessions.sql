-- How long a session may go unused, in milliseconds; NULL where it may for its whole life.
ALTER TABLE sessions ADD COLUMN idle INTEGER;
