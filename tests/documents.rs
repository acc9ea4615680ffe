//! Compares the tables of the documents with the code, and checks links, pages and named tests.

#[path = "support/markdown.rs"]
mod markdown;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Command;
use postern::{
    cli,
    config::SETTINGS,
    http::{MethodFilter, routes},
    metrics::{FAMILIES, Family, Label, LabelValues, MetricKind},
    model::EventKind,
};
use serde_json::Value;

use self::markdown::{anchors, relative_links, resolved};

const MAX_README_LINES: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the text of a document, named by its path from the root.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the paths of the pages in `docs/`.
fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).expect("a directory of pages");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"));
    let mut pages: Vec<_> = names.filter(|name| is_markdown(name)).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    pages
}

fn is_markdown(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

/// Returns the paths of all documents.
fn documents() -> Vec<String> {
    let top = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
    top.into_iter().chain(pages()).collect()
}

/// Fails unless the rows of a document are those of the code, and prints the rows to paste and to remove.
fn assert_rows(document: &str, documented: &[String], expected: &[String]) {
    if documented == expected {
        return;
    }
    let beyond = |rows: &[String], others: &[String]| {
        rows.iter().filter(|row| !others.contains(row)).cloned().collect::<Vec<_>>().join("\n")
    };
    let (missing, stale) = (beyond(expected, documented), beyond(documented, expected));
    assert!(
        missing.is_empty() && stale.is_empty(),
        "{document} does not match the code\n\nadd:\n{missing}\n\nremove:\n{stale}\n"
    );
    panic!("{document}: expected these rows in this order, each once:\n{}\n", expected.join("\n"));
}

/// Returns the lines of a document that begin with one of these texts.
fn rows_of(document: &str, starts: &[&str]) -> Vec<String> {
    let text = read(document);
    let is_row = |line: &&str| starts.iter().any(|start| line.starts_with(start));
    text.lines().filter(is_row).map(str::to_owned).collect()
}

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
    let openapi: Value = serde_json::from_str(include_str!("../src/http/handlers/openapi.json")).expect("JSON");
    // For a route with any method, one method stands for all. OpenAPI writes `{rest}` for `{*rest}`.
    let is_secured = |method: &MethodFilter, path: &str| {
        let method =
            if *method == MethodFilter::Any { "get".to_owned() } else { method.to_string().to_ascii_lowercase() };
        openapi["paths"][path.replace('*', "")][method]["security"].is_array()
    };
    for (page, router) in [("docs/api.md", routes::public()), ("docs/operations.md", routes::operations())] {
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

#[test]
fn proxy_examples_are_yaml_and_name_the_identity_headers() {
    let page = read("docs/integrations.md");
    let examples: Vec<_> = page.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();

    assert_eq!(examples.len(), 2, "Traefik and Envoy");
    for (example, _) in examples {
        let parsed: Result<Value, _> = serde_saphyr::from_str(example);
        assert!(parsed.is_ok(), "{parsed:?}");
        let example = example.to_ascii_lowercase();
        let words: Vec<_> = example.split(|character: char| !character.is_alphanumeric() && character != '-').collect();
        for header in ["x-user-id", "x-user-email", "x-user-email-verified", "x-session-id"] {
            assert!(words.contains(&header), "{header} is missing in {example}");
        }
    }
}

#[test]
fn mentioned_settings_exist() {
    let is_name = |character: char| character.is_ascii_uppercase() || character == '_';
    for document in documents() {
        let text = read(&document);
        for name in text.split(|character| !is_name(character)).filter(|word| word.starts_with("POSTERN_")) {
            let is_setting = SETTINGS.iter().any(|setting| setting.name == name) || name == "POSTERN_";
            assert!(is_setting, "{document}: there is no setting {name}");
        }
    }
}

#[test]
fn demo_commands_match_the_kustomization() {
    let kustomization = include_str!("../k8s/overlays/demo/kustomization.yaml");
    let commands: Vec<_> = kustomization.lines().filter_map(|line| line.strip_prefix("#     ")).collect();

    assert!(commands.len() > 5, "{commands:?}");
    let page = read("docs/deployment.md").replace("cargo run -q --", "postern");
    for command in commands {
        assert!(page.lines().any(|line| line == command), "docs/deployment.md: expected the line\n{command}");
    }
}

/// Returns the tests, scripts and directories that a page names as ``[`name`](path)``, with paths from the root.
fn named_tests(page: &str) -> Vec<(String, PathBuf)> {
    let text = read(page);
    let links = text.split("[`").skip(1).filter_map(|rest| rest.split_once("`]("));
    let links = links.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(')')?.0)));
    links.map(|(name, target)| (name, resolved(&Path::new("docs").join(target)))).collect()
}

#[test]
fn tests_named_by_the_security_pages_exist() {
    for (page, least) in [("docs/security.md", 80), ("docs/asvs.md", 50)] {
        let named = named_tests(page);

        assert!(named.len() > least, "{page}: {named:?}");
        for (name, path) in named {
            let exists = if Path::new(&name) == path {
                root().join(&path).exists()
            } else {
                let test = format!("fn {name}(");
                fs::read_to_string(root().join(&path)).is_ok_and(|text| text.contains(&test))
            };
            assert!(exists, "{page}: there is no {name} in {}", path.display());
        }
    }
}

#[test]
fn every_guarantee_names_a_test() {
    let page = read("docs/security.md");
    let section = page.split("\n## Guarantees\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let guarantees: Vec<_> = section.expect("a section of guarantees").split("\n- **").skip(1).collect();

    assert!(guarantees.len() > 10, "{guarantees:#?}");
    for guarantee in guarantees {
        assert!(guarantee.contains("\n  Tests: [`"), "{guarantee}");
    }
}

#[test]
fn asvs_table_has_every_requirement_of_levels_1_and_2() {
    // The number of requirements of levels 1 and 2 in each section of version 5.0.0; they are the first of their section.
    let sections = [("4.2", 1), ("6.1", 3), ("6.2", 12), ("6.3", 4), ("6.4", 4), ("6.5", 5), ("6.6", 3), ("6.8", 4)];
    let more = [("7.1", 3), ("7.2", 4), ("7.3", 2), ("7.4", 5), ("7.5", 2), ("7.6", 2), ("9.1", 3), ("9.2", 4)];
    let ids = |(section, count)| (1..=count).map(move |number| format!("| {section}.{number} |"));
    let expected: Vec<_> = sections.into_iter().chain(more).flat_map(ids).collect();

    let rows = rows_of("docs/asvs.md", &["| 4", "| 6", "| 7", "| 9"]);
    let rows: Vec<Vec<_>> =
        rows.iter().map(|line| line.trim_matches(['|', ' ']).split(" | ").map(str::to_owned).collect()).collect();

    let documented: Vec<_> = rows.iter().map(|row| format!("| {} |", row[0])).collect();
    assert_rows("docs/asvs.md", &documented, &expected);
    for row in rows {
        let [id, level, _, state, tests] = &row[..] else { panic!("expected five cells: {row:?}") };
        assert!(["1", "2"].contains(&level.as_str()), "{id}: level {level}");
        assert!(["Yes", "In part", "No", "N/A"].iter().any(|word| state.starts_with(word)), "{id}: {state}");
        assert!(tests == "–" || tests.contains("[`"), "{id}: {tests}");
    }
}

#[test]
fn relative_links_resolve() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for link in relative_links(&text) {
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let directory = Path::new(&document).parent().unwrap_or(Path::new(""));
            let target = if path.is_empty() { PathBuf::from(&document) } else { resolved(&directory.join(path)) };
            let has_anchor = |anchor: &str| {
                fs::read_to_string(root().join(&target)).is_ok_and(|text| anchors(&text).contains(anchor))
            };
            if !root().join(&target).exists() || !anchor.is_none_or(has_anchor) {
                broken.push(format!("{document}: {link}"));
            }
        }
    }

    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn readme_is_short() {
    let lines = read("README.md").lines().count();

    assert!(lines <= MAX_README_LINES, "README.md has {lines} lines, expected at most {MAX_README_LINES}");
}

#[test]
fn index_links_every_page() {
    let index = relative_links(&read("docs/README.md"));
    let linked: BTreeSet<_> = index.iter().filter_map(|link| link.split('#').next()).collect();
    let pages = pages();
    let missing: Vec<_> = pages
        .iter()
        .filter_map(|page| page.strip_prefix("docs/"))
        .filter(|page| *page != "README.md" && !linked.contains(page))
        .collect();

    assert!(missing.is_empty(), "docs/README.md: expected links to {missing:?}");
}
