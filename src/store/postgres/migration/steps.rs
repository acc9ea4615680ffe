//! The steps of a migration, which its file marks with comments.
//!
//! A line `-- step: KIND` starts a step; the kinds are `transaction`, `index` and `batches`. A file without such lines is one
//! transaction. CONTRIBUTING.md describes what each kind allows.

/// The start of a line that starts a step.
const MARK: &str = "-- step:";

/// What a migration does, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Statements of one transaction.
    Transaction(String),
    /// An index, built while others read and write the table.
    Index(Index),
    /// A statement that is repeated, each time in a transaction of its own, until its `position` is NULL.
    Batches(String),
}

/// An index to build: `CREATE [UNIQUE] INDEX name ON rest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// The name of the index.
    pub name: String,
    /// The name of its table.
    pub table: String,
    /// `CREATE INDEX` or `CREATE UNIQUE INDEX`.
    create: String,
    /// What follows `ON`: the table and the columns.
    rest: String,
}

impl Index {
    /// Returns the statement that builds the index in a transaction, during which writes of the table wait.
    pub(super) fn statement(&self) -> String {
        format!("{} {} ON {}", self.create, self.name, self.rest)
    }

    /// Returns the statement that builds the index outside a transaction, while others write the table.
    pub(super) fn concurrent_statement(&self) -> String {
        format!("{} CONCURRENTLY IF NOT EXISTS {} ON {}", self.create, self.name, self.rest)
    }

    fn parse(sql: &str) -> Option<Self> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let (create, name, rest) = match words.as_slice() {
            ["CREATE", "INDEX", name, "ON", rest @ ..] => ("CREATE INDEX", name, rest),
            ["CREATE", "UNIQUE", "INDEX", name, "ON", rest @ ..] => ("CREATE UNIQUE INDEX", name, rest),
            _ => return None,
        };
        let [table, _, ..] = rest else { return None };
        let is_valid = [name, table].into_iter().all(|name| is_plain_name(name));
        is_valid.then(|| Self {
            name: (*name).to_owned(),
            table: (*table).to_owned(),
            create: create.to_owned(),
            rest: rest.join(" "),
        })
    }
}

/// Returns whether a name needs no quotes, so that it is the same in SQL and in the catalogue.
fn is_plain_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'))
}

/// Splits the text of a migration into its steps.
///
/// # Errors
/// Returns what is invalid and what is expected if the text does not follow the notation.
pub(super) fn parse(sql: &str) -> Result<Vec<Step>, String> {
    let (mut kinds, mut texts) = (Vec::new(), vec![String::new()]);
    for (line, number) in sql.lines().zip(1..) {
        if let Some(kind) = line.strip_prefix(MARK) {
            kinds.push((kind.trim(), number));
            texts.push(String::new());
        } else if looks_like_mark(line) {
            return Err(format!("line {number}: `{}`: expected `{MARK}` at the start of the line", line.trim()));
        } else if let Some(text) = texts.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    if kinds.is_empty() {
        return Ok(vec![Step::Transaction(sql.to_owned())]);
    }
    if !without_comments(&texts[0]).is_empty() {
        return Err("SQL before the first step: expected comments only".to_owned());
    }
    kinds.iter().zip(&texts[1..]).map(|((kind, line), text)| step(kind, text, *line)).collect()
}

/// Returns whether a comment was probably meant to start a step.
fn looks_like_mark(line: &str) -> bool {
    let comment = line.trim_start().strip_prefix("--").map(str::trim_start);
    comment.is_some_and(|comment| comment.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("step:")))
}

fn step(kind: &str, text: &str, line: usize) -> Result<Step, String> {
    let sql = without_comments(text);
    if sql.is_empty() {
        return Err(format!("line {line}: a step without SQL"));
    }
    match kind {
        "transaction" => Ok(Step::Transaction(text.to_owned())),
        "index" => {
            let index = single_statement(&sql).and_then(|sql| Index::parse(&sql));
            let expected = "expected one statement `CREATE [UNIQUE] INDEX name ON table ...`, its names without quotes";
            index.map(Step::Index).ok_or_else(|| format!("line {line}: invalid index: {expected}"))
        }
        "batches" => {
            let statement = single_statement(&sql).filter(|sql| sql.contains("$1") && sql.contains("$2"));
            let expected = "expected one statement with the parameters $1, the position, and $2, the number of rows";
            statement.map(Step::Batches).ok_or_else(|| format!("line {line}: invalid batches: {expected}"))
        }
        _ => Err(format!("line {line}: unknown step `{kind}`: expected transaction, index or batches")),
    }
}

/// Removes the lines that are comments or empty.
fn without_comments(text: &str) -> String {
    let is_sql = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("--");
    text.lines().filter(is_sql).collect::<Vec<_>>().join("\n")
}

/// Returns the text without its final semicolon, unless it has another one.
fn single_statement(sql: &str) -> Option<String> {
    sql.strip_suffix(';').filter(|statement| !statement.contains(';')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "CREATE INDEX notes_by_text ON notes (text) WHERE text <> '';";

    #[test]
    fn file_without_marks_is_one_transaction() {
        let sql = "-- A table.\nCREATE TABLE notes (text text);\n";

        assert_eq!(parse(sql), Ok(vec![Step::Transaction(sql.to_owned())]));
    }

    #[test]
    fn marks_divide_a_file_into_steps() {
        let sql = format!(
            "-- Notes.\n\n-- step: transaction\nCREATE TABLE notes (text text);\n-- step: index\n-- Why.\n{INDEX}\n\
             -- step: batches\nSELECT $1,\n    $2;\n"
        );

        let steps = parse(&sql).expect("valid steps");

        let [Step::Transaction(transaction), Step::Index(index), Step::Batches(batches)] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        assert_eq!(transaction, "CREATE TABLE notes (text text);\n");
        assert_eq!((index.name.as_str(), index.table.as_str()), ("notes_by_text", "notes"));
        assert_eq!(index.statement(), INDEX.trim_end_matches(';'));
        let concurrent = "CREATE INDEX CONCURRENTLY IF NOT EXISTS notes_by_text ON notes (text) WHERE text <> ''";
        assert_eq!(index.concurrent_statement(), concurrent);
        assert_eq!(batches, "SELECT $1,\n    $2");
    }

    #[test]
    fn invalid_steps_are_rejected() {
        for (sql, expected) in [
            ("SELECT 1;\n-- step: transaction\nSELECT 1;", "SQL before the first step"),
            ("-- step: transactions\nSELECT 1;", "unknown step `transactions`"),
            ("-- step:\nSELECT 1;", "unknown step ``"),
            ("-- Step: index\nSELECT 1;", "line 1: `-- Step: index`: expected `-- step:`"),
            ("  -- step: index\nSELECT 1;", "expected `-- step:` at the start of the line"),
            ("--step: index\nSELECT 1;", "expected `-- step:` at the start of the line"),
            ("-- step: transaction\n-- Nothing.\n", "a step without SQL"),
            ("-- step: index\nCREATE INDEX CONCURRENTLY i ON notes (text);", "invalid index"),
            ("-- step: index\nCREATE INDEX i ON notes (text); DROP TABLE notes;", "invalid index"),
            ("-- step: index\nCREATE INDEX i ON notes (text)", "invalid index"),
            ("-- step: index\nCREATE INDEX \"I\" ON notes (text);", "invalid index"),
            ("-- step: index\nCREATE INDEX i ON notes(text);", "invalid index"),
            ("-- step: batches\nSELECT $1;", "the parameters $1, the position, and $2"),
            ("-- step: batches\nSELECT $1, $2; SELECT 1;", "invalid batches"),
        ] {
            let error = parse(sql).expect_err("an invalid step");
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }
}
