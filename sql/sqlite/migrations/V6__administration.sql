-- When a session was last reauthenticated; NULL for one that was authenticated only when it was created.
ALTER TABLE sessions ADD COLUMN authenticated INTEGER;

-- The last login or sign-up, to the minute.
ALTER TABLE users ADD COLUMN last_login INTEGER;

-- In a column of its own, for indexes without the hashes. A trigger rejects NULL, which the check accepts.
ALTER TABLE users ADD COLUMN has_password INTEGER CHECK (has_password = (password IS NOT NULL));
UPDATE users SET has_password = password IS NOT NULL;

-- The words of names, in lower case of ASCII, to find users by the beginning of one. A name is split at spaces and hyphens;
-- its first eight words are kept, each to 64 characters, with the columns that pages filter by.
CREATE TABLE user_name_words (
    user_id BLOB NOT NULL CHECK (length(user_id) = 16),
    word TEXT NOT NULL,
    standing TEXT NOT NULL,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (user_id, word)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_name_words_by_word ON user_name_words (word, user_id, standing, role, created);

-- Without WITH, which triggers do not allow: the quoted name becomes a JSON array of its words.
CREATE TRIGGER user_is_inserted AFTER INSERT ON users
BEGIN
    SELECT RAISE(ABORT, 'users.has_password is NULL') WHERE NEW.has_password IS NULL;
    INSERT INTO user_name_words (user_id, word, standing, role, created)
    SELECT DISTINCT NEW.id, substr(value, 1, 64), NEW.standing, NEW.role, NEW.created
    FROM json_each('[' || replace(replace(json_quote(lower(NEW.name)), '-', ' '), ' ', '","') || ']')
    WHERE key < 8 AND value <> '';
END;

CREATE TRIGGER user_is_renamed AFTER UPDATE OF name ON users WHEN NEW.name <> OLD.name
BEGIN
    DELETE FROM user_name_words WHERE user_id = NEW.id;
    INSERT INTO user_name_words (user_id, word, standing, role, created)
    SELECT DISTINCT NEW.id, substr(value, 1, 64), NEW.standing, NEW.role, NEW.created
    FROM json_each('[' || replace(replace(json_quote(lower(NEW.name)), '-', ' '), ' ', '","') || ']')
    WHERE key < 8 AND value <> '';
END;

CREATE TRIGGER user_changes_standing_or_role AFTER UPDATE OF standing, role ON users
WHEN NEW.standing <> OLD.standing OR NEW.role <> OLD.role
BEGIN
    UPDATE user_name_words SET standing = NEW.standing, role = NEW.role WHERE user_id = NEW.id;
END;

CREATE TRIGGER user_is_deleted AFTER DELETE ON users
BEGIN
    DELETE FROM user_name_words WHERE user_id = OLD.id;
END;

-- How many events of each kind there were in each hour, in milliseconds since 1970. Only newly inserted events count, whoever
-- inserts them.
CREATE TABLE hourly_statistics (
    hour INTEGER NOT NULL,
    statistic TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (hour, statistic)
) STRICT, WITHOUT ROWID;

-- What the events of a kind count as.
CREATE TABLE statistics_of_events (
    event TEXT NOT NULL,
    statistic TEXT NOT NULL,
    PRIMARY KEY (event, statistic)
) STRICT, WITHOUT ROWID;
INSERT INTO statistics_of_events (event, statistic) VALUES
    ('sign_up', 'sign_ups'),
    ('sign_up', 'sessions_opened'),
    ('login', 'logins'),
    ('login', 'sessions_opened'),
    ('login_failed', 'login_failures'),
    ('logout', 'sessions_ended'),
    ('logout_everywhere', 'sessions_ended'),
    ('session_ended', 'sessions_ended'),
    ('sessions_displaced', 'sessions_ended'),
    ('refresh_token_theft', 'sessions_ended'),
    ('password_changed', 'sessions_ended'),
    ('account_deleted', 'sessions_ended'),
    ('admin_password_set', 'sessions_ended'),
    ('admin_password_disabled', 'sessions_ended'),
    ('admin_user_deactivated', 'sessions_ended'),
    ('admin_user_deleted', 'sessions_ended'),
    ('admin_session_ended', 'sessions_ended'),
    ('admin_sessions_ended', 'sessions_ended');

CREATE TRIGGER audit_event_is_inserted AFTER INSERT ON audit_events
BEGIN
    UPDATE users SET last_login = NEW.at
    WHERE id = NEW.user_id AND NEW.event IN ('login', 'sign_up') AND (last_login IS NULL OR NEW.at >= last_login + 60000);

    INSERT INTO hourly_statistics (hour, statistic, events)
    SELECT NEW.at - NEW.at % 3600000, statistic, 1 FROM statistics_of_events WHERE event = NEW.event
    ON CONFLICT (hour, statistic) DO UPDATE SET events = hourly_statistics.events + 1;
END;

-- All that a page shows is in these indexes: neighbours in the order of an index are anywhere in the table.
CREATE INDEX users_by_email
ON users (email, id, name, standing, role, email_verified, has_password, created, last_login);
CREATE INDEX users_by_last_login
ON users (last_login, id, email, name, standing, role, email_verified, has_password, created) WHERE last_login IS NOT NULL;
CREATE INDEX users_administrators
ON users (created, id, email, name, standing, role, email_verified, has_password, last_login) WHERE role = 'administrator';
CREATE INDEX users_inactive
ON users (created, id, email, name, standing, role, email_verified, has_password, last_login) WHERE standing = 'inactive';

-- These have all columns too, for the same reason. The events of most kinds are neighbours in the table.
DROP INDEX audit_events_by_user;
CREATE INDEX audit_events_by_user
ON audit_events (user_id, id, at, event, session_id, address, user_agent, request_id, actor, detail)
WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_by_address
ON audit_events (address, id, at, event, user_id, session_id, user_agent, request_id, actor, detail)
WHERE address IS NOT NULL;
CREATE INDEX audit_events_by_kind ON audit_events (event, id);

INSERT INTO user_name_words (user_id, word, standing, role, created)
SELECT DISTINCT users.id, substr(value, 1, 64), standing, role, created
FROM users, json_each('[' || replace(replace(json_quote(lower(users.name)), '-', ' '), ' ', '","') || ']')
WHERE key < 8 AND value <> '';
