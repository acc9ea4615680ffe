//! The code blocks and the tables of docs/from-django.md.

pub const PAGE: &str = include_str!("../../docs/from-django.md");

/// The example for offline verification, which the page links.
const INTEGRATIONS: &str = include_str!("../../docs/integrations.md");

/// Returns the only code block of the page in this language that contains a text.
#[track_caller]
pub fn block(language: &str, text: &str) -> String {
    only_block(PAGE, language, text)
}

/// Returns the Python example for PASETO, with the keys of a server at this address.
pub fn token_check(postern: &str) -> String {
    let example = only_block(INTEGRATIONS, "python", "import pyseto");
    replaced(&example, "http://127.0.0.1:8000/", &format!("{postern}/"))
}

/// Replaces a text that occurs once.
#[track_caller]
pub fn replaced(text: &str, written: &str, here: &str) -> String {
    assert_eq!(text.matches(written).count(), 1, "{written}: {text}");
    text.replace(written, here)
}

#[track_caller]
fn only_block(page: &str, language: &str, text: &str) -> String {
    let found: Vec<_> = blocks(page, language).into_iter().filter(|block| block.contains(text)).collect();
    let [block] = &found[..] else { panic!("one block of {language} with {text}: {found:?}") };
    block.clone()
}

/// Returns the code blocks in a language, without the indentation of a list.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != format!("```{language}") {
            continue;
        }
        let indentation = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        found.push(block.map(|line| line.get(indentation..).unwrap_or_default().to_owned() + "\n").collect());
    }
    found
}

/// Returns the cells of the table below a heading, without its head.
pub fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let section = PAGE.split(&format!("\n{heading}\n")).nth(1).expect("a section");
    let section = section.split("\n#").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}
