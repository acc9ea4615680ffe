//! Explains the error of a command that Redis denies: it names the command, which some versions do not.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::scripts::{SOURCES, Source};

/// The key patterns that the user of Redis needs. docs/configuration.md has the same.
const KEY_PATTERNS: &str = "~session:* ~sessions:* ~attempts:* ~devices:* ~device:*";

/// Returns an explanation if Redis denies a command: its user has no permission for the command or a key of it, or the command
/// is disabled or renamed. Redis 7.0 does not name a command that it denies to a script, but its line.
pub(super) fn explain_denial(error: &RedisError) -> Option<String> {
    let detail = error.detail().unwrap_or_default();
    let is_unknown =
        ["unknown command", "Unknown Redis command called from script"].iter().any(|part| has(detail, part));
    if !is_unknown && !is_forbidden(error, detail) {
        return None;
    }
    let place = place_in_script(detail).map(|place| format!(", which is {place}")).unwrap_or_default();
    let expected = if is_unknown {
        "expected a Redis without disabled or renamed commands".to_owned()
    } else if detail.to_ascii_lowercase().contains(" key") {
        format!("expected a user with the key patterns {KEY_PATTERNS}")
    } else {
        "expected a user with the permissions in docs/configuration.md".to_owned()
    };
    Some(format!("{error}{place}; {expected}"))
}

/// Returns whether the user has no permission. An error in a script, or of SELECT when a connection is opened, has the code ERR:
/// the first message is that of Redis up to 7.0, the second that of later versions and of Valkey.
fn is_forbidden(error: &RedisError, detail: &str) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            has(detail, "The user executing the script can't")
                || detail.to_ascii_lowercase().contains("no permissions to ")
        }
        _ => false,
    }
}

/// Returns whether a message begins with this, possibly after the place in a script, as in Redis 6.
fn has(detail: &str, part: &str) -> bool {
    detail.starts_with(part) || (detail.starts_with("Error running script") && detail.contains(part))
}

/// Returns the command in the line that the error names, and its script: `HSET in the script session.open`.
fn place_in_script(detail: &str) -> Option<String> {
    let source = SOURCES.iter().find(|source| detail.contains(source.script().get_hash()))?;
    let script = source.name();
    let command = line_in_script(detail).and_then(|line| Source::command_in_line(source, line));
    Some(
        command
            .map_or_else(|| format!("in the script {script}"), |command| format!("{command} in the script {script}")),
    )
}

/// Returns the last line number in a message: `… on @user_script:12.`, or `@user_script: 12: …` in Redis 6.
fn line_in_script(detail: &str) -> Option<usize> {
    let (_, place) = detail.rsplit_once("@user_script:")?;
    place.trim_start().split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{super::scripts::SESSION_OPEN, *};

    /// Returns the error of a response of Redis.
    fn error(response: &str) -> RedisError {
        match redis::parse_redis_value(format!("-{response}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the line of `session.open` with this text.
    fn line_of(text: &str) -> usize {
        SESSION_OPEN.code().lines().position(|line| line.contains(text)).expect("a line") + 1
    }

    #[test]
    fn denied_command_in_a_script_is_named_in_each_version() {
        let (script, line) = (SESSION_OPEN.script(), line_of("call('ZCARD'"));
        let hash = script.get_hash();
        for response in [
            format!(
                "ERR Error running script (call to f_{hash}): @user_script: {line}: The user executing the script can't run this command or subcommand"
            ),
            format!(
                "ERR The user executing the script can't run this command or subcommand script: {hash}, on @user_script:{line}."
            ),
            format!(
                "ERR ACL failure in script: User p has no permissions to run the 'zcard' command script: {hash}, on @user_script:{line}."
            ),
            format!("ERR Unknown Redis command called from script script: {hash}, on @user_script:{line}."),
        ] {
            let explained = explain_denial(&error(&response)).unwrap_or_else(|| panic!("{response}"));
            assert!(explained.contains("ZCARD in the script session.open"), "{explained}");
        }
    }

    #[test]
    fn denied_key_is_explained_by_the_key_patterns() {
        for response in [
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM No permissions to access a key",
            "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: x",
            "ERR ACL failure in script: No permissions to access a key script: x, on @user_script:1.",
        ] {
            let explained = explain_denial(&error(response)).unwrap_or_else(|| panic!("{response}"));
            assert!(explained.contains(KEY_PATTERNS), "{explained}");
        }
    }

    #[test]
    fn other_errors_are_no_denials() {
        for response in [
            "OOM command not allowed when used memory > 'maxmemory'. script: x, on @user_script:1.",
            "ERR user_script:3: attempt to compare nil with number script: x, on @user_script:3.",
            "NOAUTH Authentication required.",
            "READONLY You can't write against a read only replica.",
        ] {
            assert_eq!(explain_denial(&error(response)), None, "{response}");
        }
    }

    #[test]
    fn each_script_has_a_name() {
        let names: std::collections::BTreeSet<_> = SOURCES.iter().map(Source::name).collect();

        assert_eq!(names.len(), SOURCES.len());
        assert!(names.contains("session.open") && names.contains("device.knows_formerly"), "{names:?}");
    }
}
