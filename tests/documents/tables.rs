//! The tables of the documents against the code.

use clap::Command;
use postern::{
    cli,
    config::SETTINGS,
    http::{MethodFilter, Router, routes},
    metrics::{FAMILIES, Family, Label, LabelValues, MetricKind},
    model::{EventKind, Statistic},
};
use serde_json::Value;

use crate::{assert_rows, read, rows_of};

#[test]
fn settings_table_matches_the_code() {
    let page = "docs/configuration.md";
    let expected: Vec<_> = SETTINGS
        .iter()
        .map(|setting| format!("| `{}` | {} | {} |", setting.name, setting.default, setting.help()))
        .collect();

    let documented = rows_of(page, &["| `POSTERN_", "| `DATABASE_URL", "| `REDIS_URL"]);

    assert_rows(page, &documented, &expected);
}

/// Returns the beginnings of the rows of a page's table of endpoints: method, path and authentication.
fn endpoint_rows(page: &str) -> Vec<String> {
    let is_built_in = |line: &String| cfg!(feature = "jwt") || !line.contains("with the cargo feature `jwt`");
    let rows = rows_of(page, &["| GET `", "| POST `", "| PUT `", "| PATCH `", "| DELETE `", "| any `"]);
    let start = |line: String| {
        let cells = line.split('|').take(3).collect::<Vec<_>>().join("|");
        // Parentheses hold a remark.
        format!("{} |", cells.split(" (").next().unwrap_or_default().trim_end())
    };
    rows.into_iter().filter(is_built_in).map(start).collect()
}

#[test]
fn endpoint_tables_match_the_code() {
    let openapi: Value = serde_json::from_str(include_str!("../../src/http/handlers/openapi.json")).expect("JSON");
    // For a route with any method, one method stands for all. OpenAPI writes `{rest}` for `{*rest}`.
    let is_secured = |method: &MethodFilter, path: &str| {
        let method =
            if *method == MethodFilter::Any { "get".to_owned() } else { method.to_string().to_ascii_lowercase() };
        openapi["paths"][path.replace('*', "")][method]["security"].is_array()
    };
    for (page, router) in [
        ("docs/api.md", routes::public()),
        ("docs/operations.md", routes::operations()),
        ("docs/admin-api.md", Router::new("admin", routes::admin())),
    ] {
        let row = |(method, path): (&MethodFilter, &str)| {
            format!("| {method} `{path}` | {} |", if is_secured(method, path) { "Bearer" } else { "–" })
        };
        let expected: Vec<_> = router.routes().map(row).collect();

        assert_rows(page, &endpoint_rows(page), &expected);
    }
}

#[test]
fn audit_event_table_matches_the_code() {
    let page = read("docs/audit.md");
    let section = page.split("\n## Events\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let start = |line: &str| Some(format!("| `{}` |", line.strip_prefix("| `")?.split('`').next()?));
    let documented: Vec<_> = section.lines().filter_map(start).collect();

    let expected = EventKind::ALL.map(|kind| format!("| `{}` |", kind.name()));

    assert_rows("docs/audit.md", &documented, &expected);
}

#[test]
fn statistics_table_matches_the_code() {
    let page = "docs/admin-api.md";
    let text = read(page);
    let section =
        text.split("\n## Statistics\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let migration = read("sql/postgres/migrations/V6__administration.sql");
    let events_of = |statistic: Statistic| {
        let pairs = migration
            .lines()
            .filter_map(|line| line.trim().strip_prefix("('")?.trim_end_matches([',', ';']).strip_suffix("')"));
        let pairs = pairs.filter_map(|pair| pair.split_once("', '")).filter(|(_, name)| *name == statistic.name());
        pairs.map(|(event, _)| format!("`{event}`")).collect::<Vec<_>>().join(", ")
    };
    let expected = Statistic::ALL.map(|statistic| format!("| `{}` | {} |", statistic.name(), events_of(statistic)));

    let documented: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();

    assert_rows(page, &documented, &expected);
}

#[test]
fn metrics_table_matches_the_code() {
    let page = "docs/metrics.md";
    let row = |family: &&Family| {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let labels = family.labels.iter().map(label_beside_metric).collect::<Vec<_>>().join("; ");
        format!("| `{}` | {kind} | {labels} | {} |", family.name, family.help)
    };
    let expected: Vec<_> = FAMILIES.iter().map(row).collect();

    assert_rows(page, &rows_of(page, &["| `postern_"]), &expected);
}

#[test]
fn histogram_buckets_match_the_code() {
    let page = read("docs/metrics.md");
    for family in FAMILIES {
        if let MetricKind::Histogram(bounds) = family.kind {
            let bounds = bounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let is_listed = page.lines().any(|line| line.contains(family.name) && line.contains(&bounds));
            assert!(is_listed, "docs/metrics.md: expected a row with `{}` | {bounds} |", family.name);
        }
    }
}

#[test]
fn labels_table_matches_the_code() {
    let page = "docs/metrics.md";
    let mut expected = Vec::new();
    for label in FAMILIES.iter().flat_map(|family| family.labels).filter(|label| !is_short(label)) {
        let values = match label.values {
            LabelValues::Listed(values) => {
                values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
            }
            LabelValues::Described(values) => values.to_owned(),
        };
        let row = format!("| label `{}` | {values} |", label.name);
        if !expected.contains(&row) {
            expected.push(row);
        }
    }

    assert_rows(page, &rows_of(page, &["| label `"]), &expected);
}

/// Returns the text for a label in the table of metrics: with its values if they are few.
fn label_beside_metric(label: &Label) -> String {
    match label.values {
        LabelValues::Listed(values) if is_short(label) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(" "))
        }
        _ => format!("`{}`", label.name),
    }
}

fn is_short(label: &Label) -> bool {
    matches!(label.values, LabelValues::Listed(values) if values.len() <= 10)
}

#[test]
fn command_table_matches_the_code() {
    let page = "docs/cli.md";
    let mut commands = Vec::new();
    collect_commands(&cli::command(), "", &mut commands);
    let usages: Vec<_> = rows_of(page, &["| `postern "])
        .iter()
        .map(|row| row.trim_start_matches("| `").split("` |").next().unwrap_or_default().to_owned())
        .collect();

    // The arguments follow the name of a command, in capitals or in brackets.
    let is_name = |word: &&str| !word.starts_with(['[', '-']) && word.contains(char::is_lowercase);
    let name = |usage: &String| usage.split(' ').take_while(is_name).collect::<Vec<_>>().join(" ");
    let row = |name: String| format!("| `{name}` |");
    let documented: Vec<_> = usages.iter().map(name).map(row).collect();
    let expected: Vec<_> = commands.into_iter().map(row).collect();

    assert_rows(page, &documented, &expected);
    for usage in &usages {
        let typed = usage.split(' ').map(sample);
        assert!(cli::parse(typed.map(Into::into)).is_ok(), "{page}: the command line rejects `{usage}`");
    }
}

/// Collects the names of the commands without subcommands, in order.
fn collect_commands(command: &Command, before: &str, found: &mut Vec<String>) {
    let name = format!("{before}{}", command.get_name());
    if command.get_subcommands().next().is_none() {
        found.push(name);
        return;
    }
    for command in command.get_subcommands() {
        collect_commands(command, &format!("{name} "), found);
    }
}

/// Returns a value for the name of an argument.
fn sample(word: &str) -> String {
    let word = word.trim_matches(['[', ']']);
    let value = match word {
        "USER" | "USER..." | "EMAIL" => "ada@example.org",
        "NAME" => "Ada",
        "NUMBER" => "20",
        "TIME" => "250ms",
        "SIZE" => "64MiB",
        // Of a page in the order of creation.
        "CURSOR" => "YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "ORDER" => "created",
        "ROLE" => "member",
        "SHELL" => "bash",
        "FORMAT" => "csv",
        "PURPOSE" | "KEY" => "access",
        "ID" => "k4.pid.x",
        word => word,
    };
    value.to_owned()
}
