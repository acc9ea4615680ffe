//! The layers of `src/lib.rs`, read off the sources.

use std::{collections::BTreeSet, fs, path::Path};

/// A source file: its path below the repository, and its code without comments and without the tests at its end.
struct Source {
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    read_below(root, &root.join("src"), &mut found);
    assert!(found.len() > 30, "the sources are where this test looks for them");
    found
}

fn read_below(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_below(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a text");
            let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code = code.lines().filter(is_code).collect::<Vec<_>>().join("\n");
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            found.push(Source { path, code });
        }
    }
}

/// Whether a name stands in the code as a word of its own.
fn mentions(code: &str, name: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(start, _)| {
        let (before, after) = (code[..start].chars().next_back(), code[start + name.len()..].chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Only the files below these paths mention any of these names.
#[track_caller]
fn only(paths: &[&str], names: &[&str]) {
    let mut is_mentioned_at_all = false;
    for source in sources() {
        let may = paths.iter().any(|path| source.path.starts_with(path));
        for name in names {
            let does = mentions(&source.code, name);
            is_mentioned_at_all |= does && may;
            assert!(may || !does, "{} mentions {name}", source.path);
        }
    }
    assert!(is_mentioned_at_all, "{names:?} are mentioned somewhere");
}

/// No file below these paths mentions any of these names.
#[track_caller]
fn never(paths: &[&str], names: &[&str]) {
    let sources = sources();
    let judged: Vec<_> =
        sources.iter().filter(|source| paths.iter().any(|path| source.path.starts_with(path))).collect();
    assert!(judged.len() >= paths.len(), "{paths:?} are there");
    for source in judged {
        for name in names {
            assert!(!mentions(&source.code, name), "{} mentions {name}", source.path);
        }
    }
}

const NOUNS: [&str; 7] = [
    "src/accounts/email.rs",
    "src/accounts/id.rs",
    "src/accounts/name.rs",
    "src/accounts/query.rs",
    "src/accounts/rotation.rs",
    "src/accounts/session.rs",
    "src/accounts/user.rs",
];

#[test]
fn hyper_is_known_to_http_and_the_server_alone() {
    only(&["src/http/", "src/server/"], &["hyper", "hyper_util", "http_body_util"]);
}

#[test]
fn tls_is_known_to_one_file() {
    only(&["src/server/tls.rs"], &["rustls", "tokio_rustls"]);
}

#[test]
fn status_codes_are_chosen_in_four_files() {
    let files = ["src/http/problem.rs", "src/http/output.rs", "src/http/router.rs", "src/http/service.rs"];
    only(&files, &["StatusCode"]);
}

#[test]
fn sql_is_known_to_its_adapters_alone() {
    only(&["src/store/embedded/"], &["rusqlite"]);
    only(&["src/store/postgres/"], &["tokio_postgres", "deadpool_postgres"]);
    only(&["src/store/embedded/", "src/store/postgres/"], &["refinery"]);
}

#[test]
fn redis_is_known_to_its_adapter_alone() {
    only(&["src/store/redis/"], &["deadpool_redis", "RedisError", "Script"]);
}

#[test]
fn prometheus_is_known_to_the_metrics_alone() {
    only(&["src/metrics/"], &["prometheus"]);
}

#[test]
fn the_jwt_feature_appears_in_one_file() {
    for source in sources() {
        let mentions = source.code.contains("feature = \"jwt\"");
        assert_eq!(mentions, source.path == "src/tokens/mod.rs", "{}", source.path);
    }
}

#[test]
fn the_nouns_depend_on_nothing() {
    never(&NOUNS, &["crate", "tokio", "async"]);
}

/// The modules of this crate that a piece of code names: `a` and `b` of `crate::a::x` and `use crate::{b::y, …}`.
fn crate_modules(code: &str) -> BTreeSet<&str> {
    let mut modules = BTreeSet::new();
    for (start, text) in code.match_indices("crate::") {
        let rest = &code[start + text.len()..];
        match rest.strip_prefix('{') {
            None => drop(modules.insert(first_word(rest))),
            Some(group) => modules.extend(members(group).into_iter().map(first_word)),
        }
    }
    modules
}

/// The members of a group, which ends with the brace that closes it.
fn members(group: &str) -> Vec<&str> {
    let (mut members, mut start, mut depth) = (Vec::new(), 0, 0);
    for (place, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(group[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
        if character == '}' && start == place + 1 {
            break;
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

fn first_word(code: &str) -> &str {
    code.split(|character: char| !(character.is_alphanumeric() || character == '_')).next().unwrap_or_default()
}

#[test]
fn the_arrows_of_the_map_hold() {
    let may: [(&str, &[&str]); 16] = [
        ("src/cgroup.rs", &[]),
        ("src/clock.rs", &[]),
        ("src/files.rs", &[]),
        ("src/memory.rs", &[]),
        ("src/metrics/", &[]),
        ("src/telemetry.rs", &["audit"]),
        ("src/audit/", &["accounts", "clock", "metrics", "store"]),
        ("src/accounts/", &["audit", "clock", "metrics", "passwords", "store", "tokens"]),
        ("src/passwords/", &["accounts", "metrics"]),
        ("src/tokens/", &["accounts", "clock", "files"]),
        ("src/store/", &["accounts", "audit", "clock", "files", "metrics", "store"]),
        ("src/operators.rs", &["clock", "files"]),
        ("src/http/", &["accounts", "clock", "metrics", "operators", "passwords", "store", "tokens"]),
        ("src/server/", &["clock", "files", "http"]),
        ("src/config/", &["accounts", "cgroup", "http", "passwords", "server", "store", "telemetry", "tokens"]),
        ("src/cli/", &["accounts", "audit", "clock", "config", "passwords", "store", "tokens"]),
    ];
    for source in sources().iter().filter(|source| {
        !["src/lib.rs", "src/main.rs", "src/assembly.rs", "src/commands.rs"].contains(&source.path.as_str())
    }) {
        let layer = may.iter().find(|(path, _)| source.path.starts_with(path));
        let (_, allowed) = layer.unwrap_or_else(|| panic!("{} belongs to a layer", source.path));
        for module in crate_modules(&source.code) {
            assert!(allowed.contains(&module), "{} reaches for {module}", source.path);
        }
    }
}

#[test]
fn below_the_accounts_only_their_nouns_are_known() {
    never(
        &["src/passwords/", "src/tokens/", "src/store/", "src/audit/"],
        &["Accounts", "Administration", "Refusal", "CurrentUser", "Credentials"],
    );
    // Of the trail, the stores know the events.
    never(&["src/store/"], &["Trail", "Pending", "Writing"]);
}

#[test]
fn a_reach_for_a_module_is_seen_however_it_is_written() {
    let code = "use crate::{\n    a::{b, c},\n    d,\n    e::f,\n};\nuse crate::g::{h, i};\ncrate::j::k();";

    assert_eq!(crate_modules(code), BTreeSet::from(["a", "d", "e", "g", "j"]));
}

#[test]
fn concrete_stores_are_known_to_main_alone() {
    let adapters = ["EmbeddedStore", "PostgresUsers", "RedisStore"];
    only(
        &["src/assembly.rs", "src/commands.rs", "src/store/embedded/", "src/store/postgres/", "src/store/redis/"],
        &adapters,
    );
}

#[test]
fn the_time_is_asked_in_one_place() {
    only(&["src/clock.rs"], &["SystemTime"]);
}

#[test]
fn what_the_fuzz_targets_try_is_what_is_shipped() {
    let packages = |path: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a lock file");
        let packages = text.split("[[package]]\n").skip(1).map(|package| {
            let mut lines = package.lines().map(str::to_owned);
            (lines.next().expect("a name"), lines.next().expect("a version"))
        });
        packages.collect::<BTreeSet<_>>()
    };
    let (shipped, tried) = (packages("Cargo.lock"), packages("tests/fuzz/Cargo.lock"));

    let names: BTreeSet<_> = shipped.iter().map(|(name, _)| name).collect();
    for package in tried.iter().filter(|(name, _)| names.contains(name)) {
        assert!(shipped.contains(package), "{package:?}: see tests/fuzz/Cargo.toml");
    }
    assert!(tried.intersection(&shipped).count() > 100, "the lock files are read");
}

#[test]
fn each_query_file_starts_with_its_name_and_is_used() {
    let code: String = sources().into_iter().map(|source| source.code).collect();
    for store in ["postgres", "embedded"] {
        let directory = format!("{}/sql/{store}/queries", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            let name = file.strip_suffix(".sql").expect("a query");
            let text = fs::read_to_string(&path).expect("a text");
            assert!(text.starts_with(&format!("-- {name}\n")), "{store}: {file}");
            assert!(code.contains(&format!("sql/{store}/queries/{file}")), "{store}: {file} is used");
        }
    }
}
