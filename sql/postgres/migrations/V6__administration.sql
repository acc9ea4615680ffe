-- When users last logged in, to the minute. Not a column of users: an index on it would end HOT updates of that table.
CREATE TABLE user_logins (
    user_id uuid PRIMARY KEY,
    at timestamptz NOT NULL
);
CREATE INDEX user_logins_by_time ON user_logins (at, user_id);

-- The words of names, in lower case of ASCII, to find users by the beginning of one. A name is split at spaces and hyphens;
-- its first eight words are kept, each to 64 characters.
CREATE TABLE user_name_words (
    user_id uuid NOT NULL,
    word text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, word)
);
CREATE INDEX user_name_words_by_word ON user_name_words (word, user_id);

CREATE FUNCTION name_words(name text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(word, 64)
    FROM unnest((string_to_array(translate(lower(name COLLATE "C"), '-', ' '), ' '))[1:8]) AS word
    WHERE word <> ''
$$;

-- Triggers, because a replica that is one version behind writes users and events too.
CREATE FUNCTION users_are_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_name_words (user_id, word)
    SELECT inserted.id, word FROM inserted, name_words(inserted.name) AS word
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_are_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION users_are_inserted();

CREATE FUNCTION user_is_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM user_name_words WHERE user_id = NEW.id;
    INSERT INTO user_name_words (user_id, word) SELECT NEW.id, word FROM name_words(NEW.name) AS word;
    RETURN NULL;
END
$$;
CREATE TRIGGER user_is_renamed AFTER UPDATE ON users
    FOR EACH ROW WHEN (NEW.name IS DISTINCT FROM OLD.name) EXECUTE FUNCTION user_is_renamed();

CREATE FUNCTION users_are_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM user_name_words WHERE user_id IN (SELECT id FROM deleted);
    -- In the order in which audit events lock them.
    PERFORM FROM user_logins WHERE user_id IN (SELECT id FROM deleted) ORDER BY user_id FOR UPDATE;
    DELETE FROM user_logins WHERE user_id IN (SELECT id FROM deleted);
    RETURN NULL;
END
$$;
CREATE TRIGGER users_are_deleted AFTER DELETE ON users
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION users_are_deleted();

-- How many events of each kind there were in each hour. Only newly inserted events count, whoever inserts them.
CREATE TABLE hourly_statistics (
    hour timestamptz NOT NULL,
    statistic text NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (hour, statistic)
);

-- What the events of a kind count as.
CREATE TABLE statistics_of_events (
    event text NOT NULL,
    statistic text NOT NULL,
    PRIMARY KEY (event, statistic)
);
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

-- In the order of the keys, so that two servers that insert at once do not wait for each other in a circle.
CREATE FUNCTION audit_events_are_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_logins (user_id, at)
    SELECT user_id, max(at) FROM inserted
    WHERE event IN ('login', 'sign_up') AND EXISTS (SELECT FROM users WHERE users.id = user_id)
    GROUP BY user_id
    ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE excluded.at >= user_logins.at + interval '1 minute';

    INSERT INTO hourly_statistics (hour, statistic, events)
    SELECT date_trunc('hour', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour, statistic, count(*)
    FROM inserted JOIN statistics_of_events USING (event)
    GROUP BY hour, statistic
    ORDER BY hour, statistic
    ON CONFLICT (hour, statistic) DO UPDATE SET events = hourly_statistics.events + excluded.events;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_events_are_inserted AFTER INSERT ON audit_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_inserted();

CREATE INDEX users_by_email_text ON users (email COLLATE "C");
CREATE INDEX users_administrators ON users (created, id) WHERE role = 'administrator';
CREATE INDEX users_inactive ON users (created, id) WHERE standing = 'inactive';
CREATE INDEX audit_events_by_kind ON audit_events (event, id);
CREATE INDEX audit_events_by_address ON audit_events (address, id) WHERE address IS NOT NULL;

INSERT INTO user_name_words (user_id, word)
SELECT users.id, word FROM users, name_words(users.name) AS word
ON CONFLICT DO NOTHING;
