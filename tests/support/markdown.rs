//! Reads Markdown: headings, their anchors, and links.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
};

/// Returns the anchors of a document's headings by GitHub's rule: lower case, without punctuation, `-` for a space, and
/// a number for a repeated one.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let slugs = headings.map(|line| slug(&without_targets(line.trim_start_matches('#').trim())));
    slugs
        .map(|slug| {
            let count = counts.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

/// Returns the targets of a document's relative links.
pub fn relative_links(text: &str) -> Vec<String> {
    let lines = prose(text).join("\n");
    let targets = lines.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let is_relative = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
    targets.filter(is_relative).map(str::to_owned).collect()
}

/// Resolves `..` without following symbolic links.
pub fn resolved(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut done, component| {
        if component == Component::ParentDir {
            done.pop();
        } else {
            done.push(component);
        }
        done
    })
}

/// Returns the lines of a document outside its code blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(is_prose).collect()
}

fn slug(heading: &str) -> String {
    let keeps = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
    heading
        .to_lowercase()
        .chars()
        .filter(keeps)
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// Removes the targets of links: `[text](target)` becomes `[text]`.
fn without_targets(text: &str) -> String {
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| before + part.split_once(')').map_or("", |(_, rest)| rest))
}

#[test]
fn anchors_follow_the_slug_rule_of_github() {
    let text = "# A `code` [link](x.md), twice!\n```sh\n# none\n```\n## 401 or 503\n## 401 or 503\n## a_b – c\n";

    let expected = ["401-or-503", "401-or-503-1", "a-code-link-twice", "a_b--c"];
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
}
