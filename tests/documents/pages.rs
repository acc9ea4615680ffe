//! Examples, links and named tests of the documents.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use postern::config::SETTINGS;
use serde_json::Value;

use crate::{
    assert_rows, documents,
    markdown::{anchors, relative_links, resolved},
    pages, read, root, rows_of,
};

const MAX_README_LINES: usize = 200;

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
    let kustomization = include_str!("../../k8s/overlays/demo/kustomization.yaml");
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
