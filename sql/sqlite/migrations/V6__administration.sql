-- When a session was last reauthenticated; NULL for one that was authenticated only when it was created.
ALTER TABLE sessions ADD COLUMN authenticated INTEGER;

-- When users last logged in, to the minute.
CREATE TABLE user_logins (
    user_id BLOB PRIMARY KEY CHECK (length(user_id) = 16),
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_logins_by_time ON user_logins (at, user_id);

-- The words of names, in lower case of ASCII, to find users by the beginning of one. A name is split at spaces and hyphens;
-- its first eight words are kept, each to 64 characters.
CREATE TABLE user_name_words (
    user_id BLOB NOT NULL CHECK (length(user_id) = 16),
    word TEXT NOT NULL,
    PRIMARY KEY (user_id, word)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_name_words_by_word ON user_name_words (word, user_id);

-- Without WITH, which triggers do not allow: the quoted name becomes a JSON array of its words.
CREATE TRIGGER user_is_inserted AFTER INSERT ON users
BEGIN
    INSERT INTO user_name_words (user_id, word)
    SELECT DISTINCT NEW.id, substr(value, 1, 64)
    FROM json_each('[' || replace(replace(json_quote(lower(NEW.name)), '-', ' '), ' ', '","') || ']')
    WHERE key < 8 AND value <> '';
END;

CREATE TRIGGER user_is_renamed AFTER UPDATE OF name ON users WHEN NEW.name <> OLD.name
BEGIN
    DELETE FROM user_name_words WHERE user_id = NEW.id;
    INSERT INTO user_name_words (user_id, word)
    SELECT DISTINCT NEW.id, substr(value, 1, 64)
    FROM json_each('[' || replace(replace(json_quote(lower(NEW.name)), '-', ' '), ' ', '","') || ']')
    WHERE key < 8 AND value <> '';
END;

CREATE TRIGGER user_is_deleted AFTER DELETE ON users
BEGIN
    DELETE FROM user_name_words WHERE user_id = OLD.id;
    DELETE FROM user_logins WHERE user_id = OLD.id;
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
    INSERT INTO user_logins (user_id, at)
    SELECT NEW.user_id, NEW.at
    WHERE NEW.event IN ('login', 'sign_up') AND EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id)
    ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE excluded.at >= user_logins.at + 60000;

    INSERT INTO hourly_statistics (hour, statistic, events)
    SELECT NEW.at - NEW.at % 3600000, statistic, 1 FROM statistics_of_events WHERE event = NEW.event
    ON CONFLICT (hour, statistic) DO UPDATE SET events = hourly_statistics.events + 1;
END;

CREATE INDEX users_administrators ON users (created, id) WHERE role = 'administrator';
CREATE INDEX users_inactive ON users (created, id) WHERE standing = 'inactive';
CREATE INDEX audit_events_by_kind ON audit_events (event, id);
CREATE INDEX audit_events_by_address ON audit_events (address, id) WHERE address IS NOT NULL;

INSERT INTO user_name_words (user_id, word)
SELECT DISTINCT users.id, substr(value, 1, 64)
FROM users, json_each('[' || replace(replace(json_quote(lower(users.name)), '-', ' '), ' ', '","') || ']')
WHERE key < 8 AND value <> '';
