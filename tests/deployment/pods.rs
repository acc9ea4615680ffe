//! Rules for every pod: the Pod Security Standard *restricted*, and a little more.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod, image_name, list, text};

/// Runs a check on every pod, with the name of its owner.
fn every_pod(check: impl Fn(&Cluster, Pod<'_>)) {
    for cluster in Cluster::all() {
        assert!(cluster.pods().count() >= 2);
        for pod in cluster.pods() {
            check(&cluster, pod);
        }
    }
}

#[test]
fn no_pod_runs_as_root() {
    every_pod(|_, pod| {
        let context = &pod.template["spec"]["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{}", pod.owner);
        // Above the user ids of a node.
        for id in ["runAsUser", "runAsGroup"] {
            assert!(context[id].as_u64().is_some_and(|id| id > 10_000), "{}: {id}", pod.owner);
        }
        for container in pod.containers() {
            assert_eq!(container["securityContext"]["runAsUser"], Value::Null, "{}: the pod says it", pod.owner);
        }
    });
}

#[test]
fn no_pod_has_or_gains_privileges() {
    every_pod(|_, pod| {
        assert_eq!(pod.template["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod.containers() {
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], expected, "{}", pod.owner);
        }
    });
}

#[test]
fn no_pod_shares_anything_with_its_node() {
    every_pod(|_, pod| {
        for name in ["hostNetwork", "hostPID", "hostIPC", "hostAliases", "shareProcessNamespace"] {
            assert_eq!(pod.template["spec"].get(name), None, "{}: {name}", pod.owner);
        }
        for port in pod.containers().flat_map(|container| list(container, "/ports")) {
            assert_eq!(port.get("hostPort"), None, "{}", pod.owner);
        }
        for volume in list(pod.template, "/spec/volumes") {
            assert!(volume.get("secret").is_some() || volume.get("emptyDir").is_some(), "{}: {volume}", pod.owner);
        }
    });
}

#[test]
fn no_pod_has_a_token_for_the_kubernetes_api() {
    every_pod(|cluster, pod| {
        let spec = &pod.template["spec"];
        let account = cluster.object("ServiceAccount", text(spec, "/serviceAccountName"));

        assert_eq!(spec["automountServiceAccountToken"], false, "{}", pod.owner);
        assert_eq!(account.value["automountServiceAccountToken"], false, "{account}");
    });
}

#[test]
fn no_pod_gets_service_variables() {
    every_pod(|_, pod| assert_eq!(pod.template["spec"]["enableServiceLinks"], false, "{}", pod.owner));
}

#[test]
fn every_container_requests_all_of_its_memory() {
    every_pod(|_, pod| {
        for container in pod.containers() {
            let resources = &container["resources"];
            for name in ["cpu", "memory", "ephemeral-storage"] {
                for kind in ["requests", "limits"] {
                    assert!(resources[kind][name].is_string(), "{}: {kind} {name}", pod.owner);
                }
            }
            assert_eq!(resources["requests"]["memory"], resources["limits"]["memory"], "{}", pod.owner);
        }
    });
}

#[test]
fn every_image_has_the_version_of_its_labels() {
    every_pod(|_, pod| {
        let image = text(pod.container(), "/image");
        let version = &image[image_name(image).len() + 1..];
        let labels = [&pod.owner.value["metadata"]["labels"], &pod.template["metadata"]["labels"]];
        for label in labels.map(|labels| text(labels, "/app.kubernetes.io~1version")) {
            assert!(!label.is_empty() && version.starts_with(label), "{}: {label}, {version}", pod.owner);
        }
    });
}

#[test]
fn every_volume_is_defined_and_mounted() {
    every_pod(|_, pod| {
        let volumes = list(pod.template, "/spec/volumes").iter().map(|volume| text(volume, "/name"));
        let claims = list(&pod.owner.value, "/spec/volumeClaimTemplates");
        let claims = claims.iter().map(|claim| text(claim, "/metadata/name"));
        let mounts = pod.containers().flat_map(|container| list(container, "/volumeMounts"));

        let mounted: BTreeSet<_> = mounts.map(|mount| text(mount, "/name")).collect();
        assert_eq!(mounted, volumes.chain(claims).collect(), "{}", pod.owner);
    });
}

#[test]
fn every_server_has_two_different_probes_at_its_ports() {
    every_pod(|_, pod| {
        for container in pod.containers().filter(|container| container.get("ports").is_some()) {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let probe = &container[probe];
                for kind in ["httpGet", "tcpSocket"].into_iter().filter(|kind| probe.get(*kind).is_some()) {
                    assert!(pod.port(&probe[kind]["port"]).is_some(), "{}: {probe}", pod.owner);
                }
                assert!(probe.is_object(), "{}", pod.owner);
            }
            let what = |probe: &str| ["httpGet", "tcpSocket", "exec"].map(|kind| container[probe][kind].clone());
            assert_ne!(what("livenessProbe"), what("readinessProbe"), "{}", pod.owner);
        }
    });
}

#[test]
fn new_replica_is_ready_before_an_old_one_stops() {
    for cluster in Cluster::all() {
        let strategy = &cluster.object("Deployment", "postern").value["spec"]["strategy"];

        assert_eq!(*strategy, json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}));
    }
}

#[test]
fn finished_migration_is_removed() {
    for cluster in Cluster::all() {
        let spec = &cluster.object("Job", "postern-migrate").value["spec"];

        assert!(spec["ttlSecondsAfterFinished"].is_u64() && spec["backoffLimit"].is_u64());
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    }
}
