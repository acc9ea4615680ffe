//! Cells of CSV that spreadsheets do not take for formulas (OWASP, "CSV Injection").

/// The character that makes the rest of a cell text.
const MARK: char = '\'';

/// Returns a cell in which a spreadsheet finds no formula: a mark comes before each part that would begin one. A spreadsheet
/// may separate cells at semicolons as well, so each part between semicolons counts.
///
/// A part that begins like a formula after marks gets one more. The original is therefore what remains if one mark is removed
/// from each part that would begin a formula and begins with a mark.
#[must_use]
pub fn neutralised_cell(cell: &str) -> String {
    let parts =
        cell.split(';').map(|part| if begins_formula(part) { format!("{MARK}{part}") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join(";")
}

/// Returns whether a spreadsheet may take a part for a formula: its first character except white space, quotes and marks begins
/// one. The full-width forms count, because a spreadsheet may convert them.
fn begins_formula(part: &str) -> bool {
    let is_skipped = |character: char| character.is_whitespace() || matches!(character, '"' | MARK | '\u{feff}');
    let rest = part.trim_start_matches(is_skipped);
    rest.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Undoes [`neutralised_cell`], as docs/cli.md describes it.
    fn original(cell: &str) -> String {
        let parts = cell.split(';');
        let parts = parts.map(|part| part.strip_prefix(MARK).filter(|_| begins_formula(part)).unwrap_or(part));
        parts.collect::<Vec<_>>().join(";")
    }

    #[test]
    fn formulas_are_marked_also_after_white_space_and_separators() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\r\n\t=1", "'\r\n\t=1"),
            ("  =1", "'  =1"),
            ("\u{a0}\u{3000}=1", "'\u{a0}\u{3000}=1"),
            ("\u{ff1d}1+1", "'\u{ff1d}1+1"),
            ("\u{ff0b}1", "'\u{ff0b}1"),
            ("\u{ff0d}1", "'\u{ff0d}1"),
            ("\u{ff20}A", "'\u{ff20}A"),
            ("\"=1", "'\"=1"),
            ("'=1", "''=1"),
            ("Ada;=1;x", "Ada;'=1;x"),
        ] {
            assert_eq!(neutralised_cell(cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn other_cells_stay_as_they_are() {
        for cell in
            ["", "Ada", "Ada-Lovelace", "ada+x@example.org", "'t Hooft", "a=b", "Ada; Grace", "$argon2id$v=19$x"]
        {
            assert_eq!(neutralised_cell(cell), cell);
        }
    }

    proptest! {
        #[test]
        fn neutralised_cell_has_one_original_and_no_formula(cell in "[=+@;'\" \t\rA\u{ff1d}-]{0,8}|.*") {
            let neutral = neutralised_cell(&cell);

            prop_assert_eq!(original(&neutral), cell);
            prop_assert!(neutral.split(';').all(|part| part.starts_with(MARK) || !begins_formula(part)));
        }
    }
}
