//! The layers of `src/lib.rs`, and who may use which crate, checked against the sources.

mod imports;

use std::{collections::BTreeSet, fs, path::Path};

use self::imports::{Imports, Sources};

/// A source file: its path below the repository, and its code without comments and without the tests at its end.
struct SourceFile {
    path: String,
    code: String,
}

fn sources() -> Vec<SourceFile> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    read_below(root, &root.join("src"), &mut found);
    assert!(found.len() > 30, "the sources are where this test looks for them");
    found
}

fn read_below(root: &Path, directory: &Path, found: &mut Vec<SourceFile>) {
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
            found.push(SourceFile { path, code });
        }
    }
}

/// Returns whether the code contains a name as a whole word.
fn mentions(code: &str, name: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(start, _)| {
        let (before, after) = (code[..start].chars().next_back(), code[start + name.len()..].chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Fails unless each of these names is mentioned, and only below these paths.
#[track_caller]
fn only(paths: &[&str], names: &[&str]) {
    let sources = sources();
    for name in names {
        let (inside, outside): (Vec<_>, Vec<_>) = sources
            .iter()
            .filter(|source| mentions(&source.code, name))
            .map(|source| source.path.as_str())
            .partition(|path| paths.iter().any(|allowed| path.starts_with(allowed)));
        assert_eq!(outside, Vec::<&str>::new(), "only {paths:?} may mention {name}");
        assert!(!inside.is_empty(), "no file mentions {name}");
    }
}

#[test]
fn hyper_is_known_to_http_and_the_server_alone() {
    only(&["src/http/", "src/server/"], &["hyper", "hyper_util", "http_body_util"]);
}

#[test]
fn tls_is_known_to_two_files() {
    only(&["src/os/pem.rs", "src/server/tls.rs", "src/store/tls.rs"], &["rustls", "tokio_rustls"]);
}

#[test]
fn status_codes_are_chosen_in_two_files() {
    only(&["src/http/error.rs", "src/http/error/tests.rs", "src/http/response.rs"], &["StatusCode"]);
}

#[test]
fn sql_is_known_to_its_adapters_alone() {
    only(&["src/store/sqlite/"], &["rusqlite"]);
    only(&["src/store/postgres/"], &["tokio_postgres", "deadpool_postgres"]);
    only(&["src/store/sqlite/", "src/store/postgres/"], &["refinery"]);
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
fn work_on_the_hashing_threads_is_permitted_by_the_limits_alone() {
    only(&["src/rate_limit/", "src/passwords/work_permit.rs"], &["for_client"]);
    only(&["src/commands.rs", "src/passwords/work_permit.rs"], &["for_command_line"]);
}

#[test]
fn nothing_prints_but_the_log_and_the_process() {
    only(&["src/logging/"], &["stderr"]);
    only(&["src/standard_output.rs", "src/serve.rs"], &["stdout"]);
    for source in sources() {
        for macro_name in ["print!", "println!", "eprint!", "eprintln!", "dbg!"] {
            assert!(!mentions(&source.code, macro_name), "{} has {macro_name}", source.path);
        }
    }
}

#[test]
fn the_jwt_feature_appears_in_one_file() {
    for source in sources() {
        let mentions = source.code.contains("feature = \"jwt\"");
        assert_eq!(mentions, source.path == "src/tokens/format.rs", "{}", source.path);
    }
}

#[test]
fn imports_go_from_the_top_layer_to_the_bottom_one() {
    let imports = Imports::of(&all_sources());

    assert_eq!(imports.upward(&layers()), Vec::<String>::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Imports::of(&all_sources());

    assert_eq!(imports.circle(), None);
}

/// Returns the list of layers in `src/lib.rs`, from the top to the bottom.
fn layers() -> Vec<String> {
    let (library, sources) = (include_str!("../../src/lib.rs"), all_sources());
    let lines = library.lines().filter_map(|line| line.strip_prefix("//! - `")?.split('`').next());
    let layers: Vec<_> =
        lines.filter(|name| name.ends_with('/') || sources.contains_key(*name)).map(str::to_owned).collect();
    assert!(layers.len() > 20, "{layers:?}");
    layers
}

/// Returns every source file with its tests, except `lib.rs`, which only declares modules.
fn all_sources() -> Sources {
    let paths = sources().into_iter().map(|source| source.path).filter(|path| path != "src/lib.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: String| (path["src/".len()..].to_owned(), fs::read_to_string(root.join(&path)).expect("a text"));
    paths.map(read).collect()
}

#[test]
fn mod_files_only_declare_and_re_export() {
    let sources = sources();
    let is_facade = |path: &str| path.ends_with("/mod.rs") && !path.ends_with("/tests/mod.rs");
    for source in sources.iter().filter(|source| is_facade(&source.path)) {
        let parsed = syn::parse_file(&source.code).unwrap_or_else(|error| panic!("{}: {error}", source.path));
        for item in parsed.items {
            let is_declaration = match &item {
                syn::Item::Mod(item) => item.content.is_none(),
                syn::Item::Use(item) => !matches!(item.vis, syn::Visibility::Inherited),
                _ => false,
            };
            assert!(is_declaration, "{} contains code", source.path);
        }
    }
}

#[test]
fn only_app_and_commands_name_concrete_stores() {
    let files = ["src/app.rs", "src/commands.rs", "src/store/sqlite/", "src/store/postgres/", "src/store/redis/"];
    only(&files, &["SqliteStore", "PostgresStore", "RedisStore"]);
}

#[test]
fn the_time_is_read_in_one_file() {
    only(&["src/clock.rs"], &["SystemTime"]);
}

#[test]
fn files_that_people_write_are_read_in_one_module() {
    // `os` reads the files of the kernel too, `sqlite` its database, and the last one is a file of tests.
    let files = ["src/os/", "src/store/sqlite/", "src/keys/reload/tests.rs"];
    only(&files, &["fs::read", "File::open", "read_to_end"]);
    only(&files, &["read_to_string"]);
    only(&["src/cli/password.rs", "src/commands.rs"], &["stdin"]);
}

#[test]
fn fuzz_targets_lock_the_shipped_dependencies() {
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
    for store in ["postgres", "sqlite"] {
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
