//! The `Dockerfile`, compared with the program, the repository and the manifests.

use std::{collections::BTreeSet, path::Path};

use postern::config::{Config, SETTINGS, Values};

use crate::cluster::{Cluster, files, read};

/// The instructions, with their lines joined: a word in capitals, and the rest.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let lines = lines.replace("\\\n", " ");
    let instructions = lines.lines().filter_map(|line| line.trim().split_once(' '));
    instructions.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

/// The instructions of a kind in the last stage, which is the image.
fn of_image(word: &str) -> Vec<String> {
    let all = instructions();
    let last = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    all[last..].iter().filter(|(other, _)| other == word).map(|(_, rest)| rest.clone()).collect()
}

fn environment() -> Vec<(String, String)> {
    let pairs = of_image("ENV").join(" ");
    let pairs = pairs.split_whitespace().map(|pair| pair.split_once('=').expect("a name and a value"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The paths that the build copies from the repository.
fn copied() -> BTreeSet<String> {
    let from_here = instructions().into_iter().filter(|(word, rest)| word == "COPY" && !rest.starts_with("--from"));
    from_here
        .flat_map(|(_, rest)| {
            let mut paths: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
            paths.pop();
            paths
        })
        .collect()
}

/// The settings of the image, with the one that it leaves to its user.
fn config() -> Config {
    let mut environment = environment();
    environment.push(("POSTERN_TRUSTED_PROXIES".to_owned(), "none".to_owned()));
    let lookup = |name: &str| environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    Config::for_serve(&Values::new(|_| None, lookup)).expect("valid settings")
}

/// The sources below a directory, without their tests.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in files(directory) {
        let path = format!("{directory}/{name}");
        if Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).is_dir() {
            found.extend(sources(&path));
        } else if name != "tests.rs" && Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default().to_owned();
            found.push((path, code));
        }
    }
    found
}

/// A path with its `..` taken out.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The files and directories that the compiler reads beside the sources.
fn included() -> BTreeSet<String> {
    let mut included = BTreeSet::new();
    for (path, code) in sources("src") {
        let directory = path.rsplit_once('/').expect("a directory").0;
        let below = [("include_str!(\"", directory), ("include_bytes!(\"", directory), ("embed_migrations!(\"", "")];
        for (start, base) in below {
            for (place, _) in code.match_indices(start) {
                let file = code[place + start.len()..].split('"').next().expect("a path");
                included.insert(normal(format!("{base}/{file}").trim_start_matches('/')));
            }
        }
    }
    included
}

#[test]
fn every_variable_is_a_setting_and_no_secret() {
    for (name, _) in environment() {
        assert!(SETTINGS.iter().any(|setting| setting.name == name && !setting.is_secret), "{name}");
    }
}

#[test]
fn both_ports_are_exposed_and_listen_on_all_addresses() {
    let config = config();

    assert_eq!(of_image("EXPOSE"), [format!("{} {}", config.listen.port(), config.ops_listen.port())]);
    assert!(config.listen.ip().is_unspecified() && config.ops_listen.ip().is_unspecified());
}

#[test]
fn data_is_in_a_volume_that_belongs_to_the_user() {
    let data = config().data_dir.to_string_lossy().into_owned();
    let user = of_image("USER").concat();

    assert_eq!(of_image("VOLUME"), [data.as_str()]);
    let copied = of_image("COPY");
    assert!(copied.contains(&format!("--from=build --chown={user} /out/data {data}")), "{copied:?}");
}

#[test]
fn user_is_that_of_the_manifests() {
    let base = Cluster::base();
    for pod in [base.server(), base.migration()] {
        let context = &pod.template["spec"]["securityContext"];
        assert_eq!(of_image("USER"), [format!("{}:{}", context["runAsUser"], context["runAsGroup"])], "{}", pod.owner);
    }
}

#[test]
fn copied_program_is_the_entry_point() {
    let all = instructions();
    let build = &all.iter().find(|(word, _)| word == "RUN").expect("a step that builds").1;

    assert_eq!(of_image("ENTRYPOINT"), [r#"["/usr/local/bin/postern"]"#]);
    assert!(of_image("COPY").contains(&"--from=build /out/postern /usr/local/bin/postern".to_owned()));
    for part in ["--release", "--locked", "target/release/postern /out/postern", "/out/data"] {
        assert!(build.contains(part), "{part}");
    }
}

#[test]
fn health_check_is_a_command_of_the_program() {
    let found = of_image("HEALTHCHECK");
    let [check] = &found[..] else { panic!("one check: {found:?}") };
    let (options, command) = check.split_once(" CMD ").expect("options and a command");

    // A shell form needs a shell.
    let command: Vec<String> = serde_json::from_str(command).expect("the exec form");
    assert_eq!(format!(r#"["{}"]"#, command[0]), of_image("ENTRYPOINT").concat());
    let invocation = postern::cli::parse(command.iter().map(Into::into)).expect("a valid command");
    assert_eq!(invocation.subcommand, postern::cli::Subcommand::Health);
    // The command ends before the limit, if the server does not respond.
    let limit = postern::config::for_health(&Values::new(|_| None, |_| None)).expect("valid defaults").limit;
    assert!(limit < std::time::Duration::from_secs(5) && options.contains("--timeout=5s"), "{options}");
}

#[test]
fn every_copied_path_exists_and_is_in_the_build_context() {
    let ignored = read(".dockerignore");
    let given: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect();

    assert!(ignored.lines().any(|line| line == "*"));
    assert_eq!(given, copied());
    for path in copied() {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists(), "{path}");
    }
}

#[test]
fn everything_that_the_compiler_reads_is_copied() {
    let (included, copied) = (included(), copied());

    assert!(included.contains("sql/postgres/migrations") && included.contains("src/store/redis/session.open.lua"));
    for path in included {
        let is_copied = copied.iter().any(|root| path == *root || path.starts_with(&format!("{root}/")));
        assert!(is_copied, "{path}");
    }
}

#[test]
fn everything_that_cargo_toml_names_is_copied() {
    let manifest = read("Cargo.toml");
    let copied = copied();

    // Cargo reads the manifest whole: a target without its file is an error, whatever is built.
    for (section, directory) in [("[[bench]]", "benches"), ("[[test]]", "tests"), ("[[example]]", "examples")] {
        assert!(!manifest.contains(section) || copied.contains(directory), "{directory}");
    }
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs").exists() || copied.contains("build.rs"));
    assert!(copied.contains("Cargo.lock"));
}

#[test]
fn versions_are_those_of_cargo_toml() {
    let label = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let compiler = format!("rust:{}-bookworm AS build", env!("CARGO_PKG_RUST_VERSION"));

    assert!(of_image("LABEL").concat().contains(&label));
    assert!(instructions().iter().any(|(word, rest)| word == "FROM" && *rest == compiler), "{compiler}");
}
