//! Compares the tables of the documents with the code, and checks links, pages and named tests.

#[path = "../support/markdown.rs"]
mod markdown;
mod pages;
mod tables;

use std::{fs, path::Path};

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
