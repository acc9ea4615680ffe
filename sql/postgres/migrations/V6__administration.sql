-- step: transaction
-- The functions of triggers run with the privileges of their owner: a role that may insert users or events, such as that of an
-- import or of an older replica, needs no privilege on the tables that the triggers write. They look up names in this schema
-- only, and nobody else can attach them to a table.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- What lists show of each user. Neighbours in the orders of emails and last logins are anywhere in the table of users; here, they
-- are in the indexes. The last login, to the minute, is no column of users: an index on it would end HOT updates of that table.
CREATE TABLE user_summaries (
    user_id uuid PRIMARY KEY,
    last_login timestamptz,
    email text NOT NULL,
    name text NOT NULL,
    has_password boolean NOT NULL,
    standing text NOT NULL,
    role text NOT NULL,
    created timestamptz NOT NULL,
    email_verified boolean NOT NULL
)
-- Each login of a user clears the bit of their page in the visibility map, without which a page of a list reads this table too.
WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX user_summaries_by_last_login ON user_summaries (last_login, user_id)
    INCLUDE (email, name, has_password, standing, role, created, email_verified) WHERE last_login IS NOT NULL;

-- The words of names, in lower case of ASCII, to find users by the beginning of one. A name is split at spaces and hyphens;
-- its first eight words are kept, each to 64 characters.
CREATE TABLE user_name_words (
    user_id uuid NOT NULL,
    word text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, word)
);

CREATE FUNCTION name_words(name text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    -- In a database without an encoding, left() cuts bytes: removes the last character, which may be incomplete.
    SELECT DISTINCT CASE
        WHEN length(word) > 64 AND getdatabaseencoding() = 'SQL_ASCII'
            THEN regexp_replace(left(word, 64), '[\xC0-\xFF]?[\x80-\xBF]*$', '')
        ELSE left(word, 64)
    END
    FROM unnest((string_to_array(translate(lower(name COLLATE "C"), '-', ' '), ' '))[1:8]) AS word
    WHERE word <> ''
$$;

-- Triggers, because a replica that is one version behind writes users and events too.
CREATE FUNCTION users_are_inserted() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO user_summaries (user_id, email, name, has_password, standing, role, created, email_verified)
    SELECT id, email, name, password IS NOT NULL, standing, role, created, email_verified FROM inserted
    ON CONFLICT DO NOTHING;
    INSERT INTO user_name_words (user_id, word)
    SELECT inserted.id, word FROM inserted, name_words(inserted.name) AS word
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE FUNCTION user_is_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE user_summaries
    SET email = NEW.email, name = NEW.name, has_password = NEW.password IS NOT NULL, standing = NEW.standing, role = NEW.role,
        email_verified = NEW.email_verified
    WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION user_is_renamed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM user_name_words WHERE user_id = NEW.id;
    INSERT INTO user_name_words (user_id, word) SELECT NEW.id, word FROM name_words(NEW.name) AS word;
    RETURN NULL;
END
$$;

CREATE FUNCTION users_are_deleted() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM user_name_words WHERE user_id IN (SELECT id FROM deleted);
    DELETE FROM user_summaries WHERE user_id IN (SELECT id FROM deleted);
    RETURN NULL;
END
$$;

CREATE FUNCTION users_are_truncated() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    TRUNCATE user_name_words, user_summaries;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION users_are_inserted(), user_is_changed(), user_is_renamed(), users_are_deleted(), users_are_truncated()
    FROM PUBLIC;

-- Last: from here to the end of the transaction, writes of users wait.
CREATE TRIGGER users_are_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION users_are_inserted();
CREATE TRIGGER user_is_changed AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (NEW.email, NEW.name, NEW.password IS NULL, NEW.standing, NEW.role, NEW.email_verified) IS DISTINCT FROM
        (OLD.email, OLD.name, OLD.password IS NULL, OLD.standing, OLD.role, OLD.email_verified)
    ) EXECUTE FUNCTION user_is_changed();
CREATE TRIGGER user_is_renamed AFTER UPDATE ON users
    FOR EACH ROW WHEN (NEW.name IS DISTINCT FROM OLD.name) EXECUTE FUNCTION user_is_renamed();
CREATE TRIGGER users_are_deleted AFTER DELETE ON users
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION users_are_deleted();
CREATE TRIGGER users_are_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION users_are_truncated();

-- step: index
CREATE INDEX users_administrators ON users (id) WHERE role = 'administrator';

-- step: index
CREATE INDEX audit_events_by_kind ON audit_events (event, id);

-- step: index
-- With all columns, as that of addresses, because neighbours in these orders are anywhere in the table.
CREATE INDEX audit_events_of_users ON audit_events (user_id, id)
    INCLUDE (at, event, session_id, address, user_agent, request_id, actor, detail) WHERE user_id IS NOT NULL;

-- step: transaction
DROP INDEX audit_events_by_user;

-- step: index
CREATE INDEX audit_events_by_address ON audit_events (address, id)
    INCLUDE (at, event, user_id, session_id, user_agent, request_id, actor, detail) WHERE address IS NOT NULL;

-- step: batches
-- Locks the users of a batch, so that none is changed or deleted between its reading and the end of the batch: otherwise its former
-- values and words of its former name would remain. After the end, the triggers see the words of the batch.
WITH batch AS MATERIALIZED (
    SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified FROM users
    WHERE id > coalesce($1::text::uuid, '00000000-0000-0000-0000-000000000000')
    ORDER BY id LIMIT $2::bigint FOR SHARE
), summarised AS (
    INSERT INTO user_summaries (user_id, email, name, has_password, standing, role, created, email_verified)
    SELECT id, email, name, has_password, standing, role, created, email_verified FROM batch
    ON CONFLICT DO NOTHING
), filled AS (
    INSERT INTO user_name_words (user_id, word)
    SELECT batch.id, word FROM batch, name_words(batch.name) AS word
    ON CONFLICT DO NOTHING
)
SELECT (SELECT id::text FROM batch ORDER BY id DESC LIMIT 1) AS position, (SELECT count(*) FROM batch) AS rows;

-- step: index
-- After the batches: it is smaller, and the batches are faster.
CREATE INDEX user_name_words_by_word ON user_name_words (word, user_id);

-- step: index
CREATE INDEX user_summaries_by_email ON user_summaries (email COLLATE "C", user_id)
    INCLUDE (last_login, name, has_password, standing, role, created, email_verified);

-- step: index
CREATE INDEX user_summaries_administrators ON user_summaries (created, user_id)
    INCLUDE (last_login, email, name, has_password, standing, role, email_verified) WHERE role = 'administrator';

-- step: index
CREATE INDEX user_summaries_inactive ON user_summaries (created, user_id)
    INCLUDE (last_login, email, name, has_password, standing, role, email_verified) WHERE standing = 'inactive';

-- step: transaction
-- Last: a login is recorded in the summary of its user, which exists now.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

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
CREATE FUNCTION audit_events_are_inserted() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted WHERE event IN ('login', 'sign_up')) THEN
        WITH latest AS (
            SELECT user_id, max(at) AS at FROM inserted WHERE event IN ('login', 'sign_up') GROUP BY user_id
        ),
        -- Never waits for a change of a user, which may wait for this: a login at that instant is not recorded.
        locked AS MATERIALIZED (
            SELECT user_id FROM user_summaries WHERE user_id = ANY (ARRAY(SELECT user_id FROM latest)) FOR UPDATE SKIP LOCKED
        )
        UPDATE user_summaries SET last_login = latest.at FROM latest JOIN locked USING (user_id)
        WHERE user_summaries.user_id = latest.user_id
            AND (last_login IS NULL OR latest.at >= last_login + interval '1 minute');
    END IF;

    INSERT INTO hourly_statistics (hour, statistic, events)
    SELECT date_trunc('hour', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour, statistic, count(*)
    FROM inserted JOIN statistics_of_events USING (event)
    GROUP BY hour, statistic
    ORDER BY hour, statistic
    ON CONFLICT (hour, statistic) DO UPDATE SET events = hourly_statistics.events + excluded.events;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION audit_events_are_inserted() FROM PUBLIC;

CREATE TRIGGER audit_events_are_inserted AFTER INSERT ON audit_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_inserted();
