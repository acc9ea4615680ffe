//! The README says what the code does, and the security page which test proves it.

use std::{fs, path::Path};

use clap::Command;
use postern::{
    cli,
    config::SETTINGS,
    http::{MethodFilter, routes},
    metrics::{FAMILIES, Family, Label, LabelValues, MetricKind},
    model::EventKind,
};
use serde_json::Value;

const README: &str = include_str!("../README.md");
const SECURITY: &str = include_str!("../SECURITY.md");

fn is_of_a_setting(line: &&str) -> bool {
    ["| `POSTERN_", "| `DATABASE_URL", "| `REDIS_URL"].iter().any(|start| line.starts_with(start))
}

#[test]
fn the_table_of_settings_is_that_of_the_code() {
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| format!("| `{}` | {} | {} |", setting.name, setting.default, setting.help))
        .collect();

    let documented: Vec<_> = README.lines().filter(is_of_a_setting).collect();

    assert_eq!(documented, rows);
}

#[test]
fn the_tables_of_endpoints_are_those_of_the_code() {
    let page: Value =
        serde_json::from_str(include_str!("../src/http/handlers/openapi.json")).expect("the page is JSON");
    // Where any method will do, what holds for one holds for all; the page writes `{rest}` for `{*rest}`.
    let is_secured = |method: &MethodFilter, path: &str| {
        let method =
            if *method == MethodFilter::Any { "get".to_owned() } else { method.to_string().to_ascii_lowercase() };
        page["paths"][path.replace('*', "")][method]["security"].is_array()
    };
    let (public, operations) = (routes::public(), routes::operations());
    let rows: Vec<_> = public
        .routes()
        .chain(operations.routes())
        .map(|(method, path)| {
            let caller = if is_secured(method, path) { "Bearer" } else { "–" };
            format!("{method} `{path}` | {caller}")
        })
        .collect();

    let is_built_in = |line: &&str| cfg!(feature = "jwt") || !line.contains("with the cargo feature `jwt`");
    // Whoever needs no access token may need something else, which stands in parentheses.
    let documented: Vec<_> = README
        .lines()
        .filter(|line| {
            ["GET", "POST", "PUT", "PATCH", "DELETE", "any"]
                .iter()
                .any(|method| line.starts_with(&format!("| {method} `")))
        })
        .filter(is_built_in)
        .map(|line| line.split('|').take(3).collect::<Vec<_>>().join("|"))
        .map(|row| row.split(" (").next().unwrap_or_default().trim_matches(['|', ' ']).to_owned())
        .collect();

    assert_eq!(documented, rows);
}

#[test]
fn the_table_of_audit_events_is_that_of_the_code() {
    let section = README.split("\n## Audit trail\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("a section").lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());

    assert!(rows.eq(EventKind::ALL.map(EventKind::name)));
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let row = |family: &&Family| {
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let labels = family.labels.iter().map(label_beside_metric).collect::<Vec<_>>().join("; ");
        format!("| `{}` | {kind} | {labels} | {} |", family.name, family.help)
    };
    let rows: Vec<_> = FAMILIES.iter().map(row).collect();

    let documented: Vec<_> = README.lines().filter(|line| line.starts_with("| `postern_")).collect();

    assert_eq!(documented, rows);
}

#[test]
fn the_bounds_of_histograms_are_those_of_the_code() {
    for family in FAMILIES {
        if let MetricKind::Histogram(bounds) = family.kind {
            let bounds: Vec<_> = bounds.iter().map(ToString::to_string).collect();
            let bounds = bounds.join(", ");
            let listed = README.lines().any(|line| line.contains(family.name) && line.contains(&bounds));
            assert!(listed, "{}: {bounds}", family.name);
        }
    }
}

#[test]
fn the_table_of_labels_is_that_of_the_code() {
    let mut rows = Vec::new();
    for label in FAMILIES.iter().flat_map(|family| family.labels).filter(|label| !is_short(label)) {
        let values = match label.values {
            LabelValues::Listed(values) => {
                values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
            }
            LabelValues::Described(values) => values.to_owned(),
        };
        let row = format!("| label `{}` | {values} |", label.name);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }

    let documented: Vec<_> = README.lines().filter(|line| line.starts_with("| label `")).collect();

    assert_eq!(documented, rows);
}

/// What stands beside a metric for one of its labels: its values, where they are few.
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
    matches!(label.values, LabelValues::Listed(values) if values.len() < 10)
}

#[test]
fn the_table_of_commands_is_that_of_the_code() {
    let mut commands = Vec::new();
    leaves(&cli::command(), "", &mut commands);

    let is_row = |line: &&str| line.starts_with("| `postern ");
    let documented: Vec<_> =
        README.lines().filter(is_row).map(|line| line.split(" |").next().unwrap_or_default().to_owned()).collect();

    // What follows the name of a command there are its arguments.
    assert_eq!(documented.len(), commands.len(), "{documented:#?} {commands:#?}");
    for (documented, command) in documented.iter().zip(&commands) {
        let is_command =
            documented.strip_prefix(&format!("| `{command}")).is_some_and(|rest| rest.starts_with([' ', '`']));
        assert!(is_command, "{documented} is {command}");
        let rest = documented.trim_start_matches(&format!("| `{command}")).trim_end_matches('`');
        let sample = command.split(' ').chain(rest.split_whitespace()).map(sample);
        assert!(cli::parse(sample.map(Into::into)).is_ok(), "{documented} can be typed");
    }
}

/// The commands that do something, in order.
fn leaves(command: &Command, before: &str, found: &mut Vec<String>) {
    let name = format!("{before}{}", command.get_name());
    if command.get_subcommands().next().is_none() {
        found.push(name);
        return;
    }
    for command in command.get_subcommands() {
        leaves(command, &format!("{name} "), found);
    }
}

/// What somebody might type for an argument's name.
fn sample(word: &str) -> String {
    let word = word.trim_matches(['[', ']']);
    let typed = match word {
        "USER" | "EMAIL" => "ada@example.org",
        "NAME" => "Ada",
        "NUMBER" => "20",
        "TIME" => "250ms",
        "SIZE" => "64MiB",
        "CURSOR" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "SHELL" => "bash",
        "PURPOSE" | "KEY" => "access",
        "ID" => "k4.pid.x",
        word => word,
    };
    typed.to_owned()
}

#[test]
fn the_configuration_of_other_programs_is_yaml_and_names_the_headers_of_verify() {
    let pieces: Vec<_> = README.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();

    assert_eq!(pieces.len(), 2, "Traefik and Envoy");
    for (piece, _) in pieces {
        let parsed: Result<Value, _> = serde_saphyr::from_str(piece);
        assert!(parsed.is_ok(), "{parsed:?}");
        for header in ["x-user-id", "x-user-email", "x-session-id"] {
            assert!(piece.to_ascii_lowercase().contains(header), "{piece}");
        }
    }
}

#[test]
fn every_setting_that_is_mentioned_exists() {
    let is_name = |character: char| character.is_ascii_uppercase() || character == '_';
    let names = README.split(|character| !is_name(character)).filter(|word| word.starts_with("POSTERN_"));
    let unknown: Vec<_> = names.filter(|name| !SETTINGS.iter().any(|setting| setting.name == *name)).collect();

    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn the_commands_for_the_demo_are_those_that_it_names_itself() {
    let kustomization = include_str!("../k8s/overlays/demo/kustomization.yaml");
    let commands: Vec<_> = kustomization.lines().filter_map(|line| line.strip_prefix("#     ")).collect();

    assert!(commands.len() > 5, "{commands:?}");
    let readme = README.replace("cargo run -q --", "postern");
    for command in commands {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

/// What the security page names: a test and the file that it is in, or a file by its own path.
fn named_on_the_security_page() -> Vec<(&'static str, &'static str)> {
    let links = SECURITY.split("[`").skip(1).filter_map(|rest| rest.split_once("`]("));
    links.filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0))).collect()
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = named_on_the_security_page();

    assert!(named.len() > 80, "{named:?}");
    for (name, path) in named {
        let is_there = if name == path {
            root.join(path).exists()
        } else {
            let test = format!("fn {name}(");
            fs::read_to_string(root.join(path)).is_ok_and(|text| text.contains(&test))
        };
        assert!(is_there, "{name} in {path}");
    }
}

#[test]
fn every_promise_names_a_test() {
    let promises = SECURITY.split("## What is promised").nth(1).and_then(|rest| rest.split("\n## ").next());
    let promises: Vec<_> = promises.expect("promises").split("\n- **").skip(1).collect();

    assert!(promises.len() > 10, "{promises:#?}");
    for promise in promises {
        assert!(promise.contains("\n  Tests: [`"), "{promise}");
    }
}

#[test]
fn the_asvs_table_has_every_requirement_of_levels_1_and_2() {
    // By the published list of version 5.0.0: how many requirements of these levels a section begins with; all others of
    // the chapters are of level 3.
    let sections = [("4.2", 1), ("6.1", 3), ("6.2", 12), ("6.3", 4), ("6.4", 4), ("6.5", 5), ("6.6", 3), ("6.8", 4)];
    let more = [("7.1", 3), ("7.2", 4), ("7.3", 2), ("7.4", 5), ("7.5", 2), ("7.6", 2), ("9.1", 3), ("9.2", 4)];
    let ids = |(section, count)| (1..=count).map(move |number| format!("{section}.{number}"));
    let expected: Vec<_> = sections.into_iter().chain(more).flat_map(ids).collect();

    let rows: Vec<Vec<_>> = SECURITY
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| line.trim_matches(['|', ' ']).split(" | ").collect())
        .collect();

    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), expected);
    for row in rows {
        let [id, "1" | "2", _, answer, tests] = row[..] else { panic!("{row:?}") };
        assert!(["Yes", "In part", "No", "N/A"].iter().any(|word| answer.starts_with(word)), "{id}: {answer}");
        assert!(tests == "–" || tests.contains("[`"), "{id}: {tests}");
    }
}
