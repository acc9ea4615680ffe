//! Values that programs write as text: truth values and times.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Reads a truth value as PostgreSQL, Python, JSON and SQLite write it. An empty value is false, as it is in Django.
pub(super) fn truth(text: Option<&str>) -> Option<bool> {
    match text.map(str::trim).unwrap_or_default().to_ascii_lowercase().as_str() {
        "t" | "true" | "1" | "y" | "yes" | "on" => Some(true),
        "" | "f" | "false" | "0" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Reads a time as PostgreSQL, Django and ISO 8601 write it: `2026-11-22 10:12:00.856019+00`, `2026-11-22T10:12:00.856Z`. Without
/// an offset it is UTC; without a time of day, midnight.
pub(super) fn time(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    if rest.is_empty() {
        return OffsetDateTime::parse(&format!("{date}T00:00:00Z"), &Rfc3339).ok();
    }
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let offset_at = clock.find(['+', '-', 'Z', 'z']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at(offset_at);
    let offset = match (offset.len(), offset) {
        (0, _) | (1, "Z" | "z") => "Z".to_owned(),
        (3, _) => format!("{offset}:00"),
        (5, _) => format!("{}:{}", offset.get(..3)?, offset.get(3..)?),
        _ => offset.to_owned(),
    };
    OffsetDateTime::parse(&format!("{date}T{}{offset}", clock.trim_end()), &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_of_postgres_and_django_are_equal() {
        let expected = Some(datetime!(2026-11-22 10:12:00.856 UTC));
        for text in [
            "2026-11-22 10:12:00.856+00",
            "2026-11-22T10:12:00.856Z",
            "2026-11-22T10:12:00.856000+00:00",
            " 2026-11-22 10:12:00.856 ",
            "2026-11-22 15:42:00.856+05:30",
            "2026-11-22T05:12:00.856-0500",
            "2026-11-22 10:12:00.856 +00:00",
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time("2026-11-22"), Some(datetime!(2026-11-22 00:00 UTC)));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "infinity",
            "-infinity",
            "0044-03-15 10:00:00+00 BC",
            "2026-13-01",
            "22.11.2026",
            "1732270320",
            "é26-11-22x",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn truth_is_read_as_programs_write_it() {
        assert!(["t", "True", "TRUE", "1", " yes "].iter().all(|text| truth(Some(text)) == Some(true)));
        assert!(["f", "False", "0", "no", ""].iter().all(|text| truth(Some(text)) == Some(false)));
        assert_eq!(truth(None), Some(false));
        assert_eq!(truth(Some("maybe")), None);
    }
}
