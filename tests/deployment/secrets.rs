//! The Secrets: none is in the repository, and the documented commands make those that the pods expect.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use postern::{
    cli::{self, KeysCommand, Subcommand},
    clock::{Clock as _, ManualClock},
    keys::{self, Keyring, LiveKeyring, Purpose},
};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Pod, list, read, text},
    program::config,
};

/// The keys of a Secret that are files of a directory.
const FILES: &str = "(files)";

/// The commands at the head of the demo's kustomization, a line each.
fn commands() -> Vec<String> {
    let text = read("k8s/overlays/demo/kustomization.yaml");
    let comment = text.lines().take_while(|line| line.starts_with('#'));
    let commands = comment.filter_map(|line| line.strip_prefix("#     ")).collect::<Vec<_>>().join("\n");
    commands.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// The Secrets that those commands make: by name, their keys and values, with passwords filled in.
pub fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let secret = |command: String| {
        let (_, arguments) = command.split_once("create secret generic ")?;
        let (name, arguments) = arguments.split_once(' ')?;
        let pairs = arguments.split("--from-").skip(1).map(|argument| {
            let argument = argument.trim().replace('"', "");
            let (key, value) = argument
                .strip_prefix("literal=")
                .map_or((FILES, ""), |pair| pair.split_once('=').expect("a key and a value"));
            (key.to_owned(), value.replace("$users", "0123").replace("$sessions", "4567"))
        });
        Some((name.to_owned(), pairs.collect()))
    };
    commands().into_iter().filter_map(secret).collect()
}

/// The Secrets that a pod reads, by key of variables and by file of volumes.
fn expected(pod: Pod<'_>) -> BTreeSet<(String, String)> {
    let variables = pod.containers().flat_map(|container| list(container, "/env"));
    let references = variables.filter_map(|variable| variable.pointer("/valueFrom/secretKeyRef"));
    let keys = references.map(|reference| (text(reference, "/name"), text(reference, "/key").to_owned()));
    let volumes = list(pod.template, "/spec/volumes").iter().filter_map(|volume| volume.get("secret"));
    let files = volumes.map(|secret| text(secret, "/secretName")).map(|name| (name, FILES.to_owned()));
    keys.chain(files).map(|(name, key)| (name.to_owned(), key)).collect()
}

fn mount_of<'pod>(pod: Pod<'pod>, secret: &str) -> &'pod Value {
    let is_its = |volume: &&Value| text(volume, "/secret/secretName") == secret;
    let volume = list(pod.template, "/spec/volumes").iter().find(is_its).expect("a volume");
    let mounts = list(pod.container(), "/volumeMounts");
    mounts.iter().find(|mount| mount["name"] == volume["name"]).expect("a mount")
}

#[test]
fn no_object_is_a_secret() {
    for cluster in Cluster::all() {
        assert_eq!(cluster.of_kind("Secret").count(), 0, "{}", cluster.directory);
    }
}

#[test]
fn base_expects_two_secrets() {
    let base = Cluster::base();
    let pair = |name: &str, key: &str| (name.to_owned(), key.to_owned());

    let stores = ["DATABASE_URL", "REDIS_URL"].map(|key| pair("postern-stores", key));
    let keys = [pair("postern-keys", FILES)];
    assert_eq!(expected(base.server()), keys.into_iter().chain(stores.clone()).collect());
    assert_eq!(expected(base.migration()), BTreeSet::from([stores[0].clone()]));
}

#[test]
fn demo_documents_how_to_make_its_secrets() {
    let documented = documented();
    let demo = Cluster::demo();
    let expected: BTreeSet<_> = demo.pods().flat_map(expected).collect();

    for (name, key) in &expected {
        let secret = documented.get(name).unwrap_or_else(|| panic!("{name} is made"));
        assert!(key == FILES || secret.contains_key(key), "{name} has {key}");
    }
    let names: BTreeSet<_> = expected.iter().map(|(name, _)| name).collect();
    assert_eq!(names, documented.keys().collect());
}

#[test]
fn demo_stores_read_the_documented_files() {
    let documented = documented();
    let demo = Cluster::demo();
    for (name, key) in [("postgres", "password"), ("redis", "password.conf")] {
        let pod = demo.object("StatefulSet", name).pod().expect("pods");
        let file = format!("{}/{key}", text(mount_of(pod, name), "/mountPath"));

        assert!(documented[name].contains_key(key), "{name}");
        assert!(pod.container().to_string().contains(&file), "{name} reads {file}");
    }
}

#[test]
fn demo_passwords_are_those_in_its_urls() {
    let documented = documented();
    let urls = &documented["postern-stores"];
    let redis = documented["redis"]["password.conf"].strip_prefix("requirepass ").expect("a line of redis.conf");

    assert!(urls["DATABASE_URL"].contains(&format!(":{}@postgres/", documented["postgres"]["password"])));
    assert!(urls["REDIS_URL"].contains(&format!(":{redis}@redis/")));
}

#[test]
fn demo_documents_how_to_make_the_keys() {
    let commands = commands();
    let command = commands.iter().find(|command| command.starts_with("postern ")).expect("a command of ours");

    let parsed = cli::parse(command.replace('"', "").split(' ').map(Into::into));

    assert_eq!(
        parsed.map(|invocation| invocation.subcommand).expect("valid arguments"),
        Subcommand::Keys(KeysCommand::Generate)
    );
}

#[test]
fn keys_are_mounted_where_the_server_reads_them() {
    for cluster in Cluster::all() {
        let server = cluster.server();
        let mount = mount_of(server, "postern-keys");

        assert_eq!(Path::new(text(mount, "/mountPath")), config(&cluster).keys_dir);
        assert_eq!(mount["readOnly"], true);
    }
}

/// Creates files as the kubelet does: in a directory of their own, behind two links.
fn mount(files: &Path, mode: u32, target: &Path) {
    let data = target.join("..2026_01_01");
    fs::create_dir(&data).expect("a directory");
    std::os::unix::fs::symlink("..2026_01_01", target.join("..data")).expect("a link");
    for entry in fs::read_dir(files).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        let is_key_of_a_secret = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(name.as_encoded_bytes().iter().copied().all(is_key_of_a_secret), "{}", name.display());
        fs::copy(files.join(&name), data.join(&name)).expect("a copy");
        fs::set_permissions(data.join(&name), fs::Permissions::from_mode(mode)).expect("a mode");
        std::os::unix::fs::symlink(Path::new("..data").join(&name), target.join(&name)).expect("a link");
    }
}

#[test]
fn server_reads_keys_mounted_with_the_mode_of_the_manifest() {
    let generated = tempfile::tempdir().expect("a directory");
    keys::generate(generated.path(), ManualClock::default().now()).expect("keys");
    for cluster in Cluster::all() {
        let server = cluster.server();
        let is_keys = |volume: &&Value| text(volume, "/secret/secretName") == "postern-keys";
        let volume = list(server.template, "/spec/volumes").iter().find(is_keys).expect("a volume");
        let mode = volume["secret"]["defaultMode"].as_u64().expect("a decimal number");
        let mode = u32::try_from(mode).expect("a mode");

        let mounted = tempfile::tempdir().expect("a directory");
        mount(generated.path(), mode, mounted.path());
        Keyring::load(mounted.path()).expect("keys that can be used");
        // They belong to root, so the server reads them by its group.
        assert_eq!(mode & 0o040, 0o040);
        let context = &server.template["spec"]["securityContext"];
        assert_eq!(context["fsGroup"], context["runAsGroup"]);
    }
}

#[tokio::test]
async fn server_loads_new_keys_when_a_mounted_secret_changes() {
    let (copy, mounted) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let now = ManualClock::default().now();
    keys::generate(copy.path(), now).expect("keys");
    mount(copy.path(), 0o440, mounted.path());
    let keys = Arc::new(LiveKeyring::open(mounted.path()).expect("keys that can be used"));

    for purpose in Purpose::ALL {
        keys::emergency_rotate(copy.path(), purpose, now).expect("a new key");
    }
    let later = tempfile::tempdir().expect("a directory");
    mount(copy.path(), 0o440, later.path());
    fs::rename(later.path().join("..2026_01_01"), mounted.path().join("..2026_02_02")).expect("it is moved");
    std::os::unix::fs::symlink("..2026_02_02", mounted.path().join("..data_tmp")).expect("a link");
    fs::rename(mounted.path().join("..data_tmp"), mounted.path().join("..data")).expect("the link is turned");
    // The new files have no links yet, and the old links are broken.
    fs::remove_dir_all(mounted.path().join("..2026_01_01")).expect("it is removed");
    keys.reload().await;

    assert_eq!(keys.current().entries(), keys::list(copy.path()).expect("a manifest"));
}
