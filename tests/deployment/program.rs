//! The manifests, compared with the program: arguments, settings, ports, paths, times and memory.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
};
use postern::{
    cli::{self, Invocation, Subcommand},
    config::{self, BASELINE_MEMORY_BYTES, Config, SETTINGS, Setting, Stores, ValueSource, Values},
    http::{TrustedProxies, routes},
};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Pod, image_name, list, text},
    secrets::documented,
};

/// From the end of the last request to that of the process.
const SPARE_TIME: Duration = Duration::from_secs(5);
/// The memory of a connection that has sent most of the largest body: 43 KiB by measurement.
const CONNECTION_BYTES: u64 = 48 << 10;

/// Returns a variable of a container, with the values of Secrets as the documented commands make them.
fn variable(container: &Value, name: &str) -> Option<String> {
    let variable = list(container, "/env").iter().find(|variable| variable["name"] == name)?;
    let literal = variable["value"].as_str().map(str::to_owned);
    literal.or_else(|| {
        let reference = &variable["valueFrom"]["secretKeyRef"];
        documented().get(text(reference, "/name"))?.get(text(reference, "/key")).cloned()
    })
}

/// Parses the arguments of a container.
fn invocation(pod: Pod<'_>) -> Invocation {
    let arguments = list(pod.container(), "/args").iter().map(|argument| argument.as_str().expect("a text"));
    let arguments = std::iter::once("postern").chain(arguments).map(Into::into);
    cli::parse(arguments).unwrap_or_else(|error| panic!("{}: {error}", pod.owner))
}

/// The settings of a pod, by its arguments and its variables.
fn values(pod: Pod<'_>) -> Values {
    let arguments = invocation(pod).values;
    let flag = |setting: &Setting| {
        let (text, source) = arguments.display(setting);
        (source == ValueSource::Flag).then(|| text.to_owned())
    };
    Values::new(flag, |name| variable(pod.container(), name))
}

/// The settings of a cluster's servers.
pub fn config(cluster: &Cluster) -> Config {
    Config::for_serve(&values(cluster.server())).expect("valid settings")
}

fn millicpus(quantity: &str) -> u64 {
    let whole = |text: &str| text.parse::<u64>().expect("a number");
    quantity.strip_suffix('m').map_or_else(|| 1000 * whole(quantity), whole)
}

fn bytes(quantity: &str) -> u64 {
    let mebibytes = quantity.strip_suffix("Mi").unwrap_or_else(|| panic!("{quantity} is in Mi"));
    mebibytes.parse::<u64>().expect("a number") << 20
}

/// The whole seconds at a JSON pointer.
fn seconds(value: &Value, pointer: &str) -> Duration {
    let seconds = value.pointer(pointer).and_then(Value::as_u64);
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("there are seconds at {pointer}")))
}

#[test]
fn every_variable_is_a_setting() {
    for cluster in Cluster::all() {
        for pod in [cluster.server(), cluster.migration()] {
            for variable in list(pod.container(), "/env") {
                let name = text(variable, "/name");
                let setting = SETTINGS.iter().find(|setting| setting.name == name);
                let setting = setting.unwrap_or_else(|| panic!("{}: {name} is a setting", pod.owner));
                let is_from_a_secret = variable.pointer("/valueFrom/secretKeyRef").is_some();
                assert_eq!(is_from_a_secret, setting.is_secret, "{}: {name}", pod.owner);
            }
        }
    }
}

#[test]
fn no_variable_is_set_twice() {
    for cluster in Cluster::all() {
        for pod in cluster.pods() {
            let names: Vec<_> = list(pod.container(), "/env").iter().map(|variable| text(variable, "/name")).collect();
            let distinct: BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len(), "{}", pod.owner);
        }
    }
}

#[test]
fn base_starts_no_server_until_an_overlay_names_the_proxies() {
    let errors = Config::for_serve(&values(Cluster::base().server())).expect_err("missing settings");

    assert_eq!(errors.iter().map(|error| error.name).collect::<Vec<_>>(), ["POSTERN_TRUSTED_PROXIES"]);
    assert_eq!(config(&Cluster::demo()).trusted_proxies, TrustedProxies::default());
    assert_ne!(config(&Cluster::documented()).trusted_proxies, TrustedProxies::default());
}

/// Returns whether the servers of a cluster take the client address from a peer.
fn trusts(cluster: &Cluster, peer: &str) -> bool {
    let (peer, client) = (peer.parse::<IpAddr>().expect("an address"), "192.0.2.1");
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(client))]);
    config(cluster).trusted_proxies.resolve(peer, &headers).address.to_string() == client
}

#[test]
fn direct_callers_lie_outside_the_trusted_networks() {
    let (documented, demo) = (Cluster::documented(), Cluster::demo());

    assert!(trusts(&documented, "10.8.0.7"), "the pods of the ingress controller");
    // In a kind cluster, the pods have addresses of 10.244.0.0/16, those of the first node of 10.244.0.0/24, and the Service
    // network begins at 10.96.0.0. The demonstration has no ingress controller, so it trusts none of them.
    for caller in ["10.244.0.7", "10.244.1.7", "10.244.255.7", "10.96.0.1", "172.18.0.2"] {
        assert!(!trusts(&demo, caller) && !trusts(&documented, caller), "{caller}");
    }
    assert!(!trusts(&demo, "10.8.0.7"));
    // `kubectl port-forward` connects from within the pod.
    for cluster in Cluster::all() {
        assert!(!trusts(&cluster, "127.0.0.1") && !trusts(&cluster, "::1"), "{}", cluster.directory);
    }
}

#[test]
fn servers_use_postgresql_and_redis() {
    for cluster in Cluster::all() {
        assert_eq!(invocation(cluster.server()).subcommand, Subcommand::Serve { migrate: false });
        assert!(matches!(config(&cluster).stores, Stores::PostgresRedis(..)));
    }
}

#[test]
fn job_migrates_and_has_only_the_database_url() {
    for cluster in Cluster::all() {
        let migration = cluster.migration();

        assert_eq!(invocation(migration).subcommand, Subcommand::Migrate);
        config::for_migrate(&values(migration)).expect("valid settings");
        assert_eq!(list(migration.container(), "/env").len(), 1);
    }
}

#[test]
fn demo_stores_are_its_services() {
    let demo = Cluster::demo();
    let Stores::PostgresRedis(database, redis) = config(&demo).stores else { panic!("shared stores") };
    let postgres = demo.object("StatefulSet", "postgres").pod().expect("pods").container();

    let address = |name| {
        let service = demo.object("Service", name);
        format!("{}:{}", service.name(), list(&service.value, "/spec/ports")[0]["port"])
    };
    let name = variable(postgres, "POSTGRES_DB").expect("a name");
    assert_eq!(database.to_string(), format!("postgres://{}/{name}", address("postgres")));
    assert_eq!(redis.to_string(), format!("redis://{}/0", address("redis")));
    let url = variable(demo.server().container(), "DATABASE_URL").expect("a URL");
    let user = variable(postgres, "POSTGRES_USER").expect("a name");
    assert!(url.starts_with(&format!("postgres://{user}:")), "{url}");
}

#[test]
fn both_listeners_have_named_ports_on_all_addresses() {
    for cluster in Cluster::all() {
        let config = config(&cluster);
        for (name, address) in [("http", config.listen), ("operations", config.ops_listen)] {
            assert!(address.ip().is_unspecified(), "{address}");
            assert_eq!(cluster.server().port(&name.into()), Some(address.port().into()), "{name}");
        }
    }
}

#[test]
fn ports_are_the_defaults() {
    let defaults = Config::for_serve(&Values::default()).expect("valid defaults");
    let config = config(&Cluster::documented());

    assert_eq!(config.listen.port(), defaults.listen.port());
    assert_eq!(config.ops_listen.port(), defaults.ops_listen.port());
}

#[test]
fn probes_use_paths_of_the_operations_port() {
    for cluster in Cluster::all() {
        let server = cluster.server();
        let expected = [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")];
        for (probe, path) in expected {
            let request = &server.container()[probe]["httpGet"];
            assert_eq!(text(request, "/path"), path, "{probe}");
            assert_eq!(server.port(&request["port"]), Some(config(&cluster).ops_listen.port().into()), "{probe}");
            assert!(routes::operations().find(&Method::GET, path).1.is_ok(), "{path}");
        }
    }
}

#[test]
fn prometheus_scrapes_the_operations_port() {
    for cluster in Cluster::all() {
        let annotations = &cluster.server().template["metadata"]["annotations"];
        let path = text(annotations, "/prometheus.io~1path");

        assert_eq!(text(annotations, "/prometheus.io~1scrape"), "true");
        assert_eq!(text(annotations, "/prometheus.io~1port"), config(&cluster).ops_listen.port().to_string());
        assert!(routes::operations().find(&Method::GET, path).1.is_ok(), "{path}");
    }
}

#[test]
fn grace_period_covers_a_whole_drain() {
    for cluster in Cluster::all() {
        let (config, server) = (config(&cluster), cluster.server());
        let grace = seconds(&server.template["spec"], "/terminationGracePeriodSeconds");
        let hook = seconds(server.container(), "/lifecycle/preStop/sleep/seconds");

        // Connections must be accepted until proxies have learnt from the API of Kubernetes that the endpoint is gone.
        assert!(hook >= Duration::from_secs(5), "{hook:?}");
        assert!(config.shutdown_grace > config.limits.request, "{:?}", config.shutdown_grace);
        let needed = hook + config.drain_delay + config.shutdown_grace + SPARE_TIME;
        assert!(grace >= needed, "{grace:?}, and {needed:?} are needed");
    }
}

#[test]
fn drain_delay_exceeds_the_readiness_window() {
    for cluster in Cluster::all() {
        let probe = &cluster.server().container()["readinessProbe"];
        let failures = probe["failureThreshold"].as_u64().and_then(|count| count.try_into().ok()).expect("a count");

        let found = seconds(probe, "/periodSeconds") * failures + seconds(probe, "/timeoutSeconds");

        let delay = config(&cluster).drain_delay;
        assert!(delay >= found, "{delay:?}, and it may take {found:?}");
    }
}

#[test]
fn memory_limit_covers_hashes_and_connections() {
    for cluster in Cluster::all() {
        let limits = &cluster.server().container()["resources"]["limits"];
        let threads = millicpus(text(limits, "/cpu")) / 1000;
        let config = config(&cluster);

        let hashing = threads * u64::from(config.hashing.parameters.memory_kib) * 1024;
        let connections = u64::try_from(config.max_connections).expect("a count") * CONNECTION_BYTES;
        let needed = BASELINE_MEMORY_BYTES + hashing + connections;
        let limit = bytes(text(limits, "/memory"));
        assert!(limit >= needed, "{limit} bytes, and {needed} are needed");
        assert_eq!(variable(cluster.server().container(), "POSTERN_HASH_THREADS"), None, "it goes by the CPU limit");
    }
}

#[test]
fn cpu_limit_leaves_half_a_cpu_beside_hashing() {
    for cluster in Cluster::all() {
        let limit = millicpus(text(cluster.server().container(), "/resources/limits/cpu"));

        // If threads of a low priority use up the quota, the kernel throttles those of a high one too.
        assert!(limit > 1000 && limit % 1000 >= 500, "{limit}");
    }
}

#[test]
fn memory_limit_of_redis_is_twice_its_maxmemory() {
    let demo = Cluster::demo();
    let redis = demo.object("StatefulSet", "redis").pod().expect("pods").container();
    let arguments: Vec<_> = list(redis, "/args").iter().map(|argument| argument.as_str().expect("a text")).collect();
    let of = |name| arguments.iter().position(|argument| *argument == name).map(|place| arguments[place + 1]);

    let megabytes = of("--maxmemory").and_then(|size| size.strip_suffix("mb")).expect("megabytes");
    let held = megabytes.parse::<u64>().expect("a number") << 20;
    assert!(bytes(text(redis, "/resources/limits/memory")) >= 2 * held);
    // An evicted session is a user who is logged out.
    assert_eq!(of("--maxmemory-policy"), Some("noeviction"));
    assert_eq!(of("--appendonly"), Some("yes"));
}

#[test]
fn image_has_the_version_of_the_crate() {
    for cluster in Cluster::all() {
        for pod in [cluster.server(), cluster.migration()] {
            let image = text(pod.container(), "/image");
            assert!(pod.is_ours(), "{image}");
            assert_eq!(image, format!("{}:{}", image_name(image), env!("CARGO_PKG_VERSION")));
        }
    }
}
