//! The README says what the code does.

use postern::config::SETTINGS;

const README: &str = include_str!("../README.md");

#[test]
fn the_table_of_settings_is_that_of_the_code() {
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| format!("| `{}` | {} | {} |", setting.name, setting.default, setting.help))
        .collect();

    let documented: Vec<_> =
        README.lines().filter(|line| line.starts_with("| `POSTERN_") || line.contains("_URL` |")).collect();

    assert_eq!(documented, rows);
}
