//! Services and network policies.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Object, Pod, list, text};

const DNS: u64 = 53;
const POSTGRES: u64 = 5432;
const REDIS: u64 = 6379;

/// The labels of a selector, such as that of a Deployment.
fn labels(selector: &Value) -> &Value {
    assert!(selector.get("matchExpressions").is_none(), "the tests read labels only");
    &selector["matchLabels"]
}

#[test]
fn every_pod_owner_selects_its_own_pods_only() {
    for cluster in Cluster::all() {
        for kind in ["Deployment", "StatefulSet"] {
            for object in cluster.of_kind(kind) {
                let selected = cluster.selected(labels(&object.value["spec"]["selector"]));

                let owners: Vec<_> = selected.iter().map(|pod| pod.owner.to_string()).collect();
                assert_eq!(owners, [object.to_string()], "{object}");
            }
        }
    }
}

#[test]
fn service_selects_pods_of_one_owner_and_a_port_of_theirs() {
    for cluster in Cluster::all() {
        for service in cluster.of_kind("Service") {
            let selected = cluster.selected(&service.value["spec"]["selector"]);

            assert_eq!(selected.len(), 1, "{service}");
            assert_eq!(selected[0].owner.name(), service.name());
            for port in list(&service.value, "/spec/ports") {
                assert!(selected[0].port(&port["targetPort"]).is_some(), "{service}: {port}");
            }
        }
    }
}

#[test]
fn no_service_exposes_the_operations_port() {
    for cluster in Cluster::all() {
        let server = cluster.server();
        let operations = server.port(&"operations".into());
        for port in cluster.of_kind("Service").flat_map(|service| list(&service.value, "/spec/ports")) {
            assert_ne!(server.port(&port["targetPort"]), operations);
        }
    }
}

#[test]
fn stateful_set_has_its_headless_service() {
    for set in Cluster::demo().of_kind("StatefulSet") {
        let demo = Cluster::demo();
        let service = demo.object("Service", text(&set.value, "/spec/serviceName"));

        assert_eq!(service.value["spec"]["clusterIP"], "None", "{service}");
        for port in list(&service.value, "/spec/ports") {
            let pod = set.pod().expect("a StatefulSet has pods");
            assert_eq!(pod.port(&port["targetPort"]), port["port"].as_u64(), "{service}: a headless one maps no port");
        }
    }
}

#[test]
fn disruption_budget_keeps_most_servers_running() {
    for cluster in Cluster::all() {
        let deployment = cluster.object("Deployment", "postern");
        let budget = cluster.object("PodDisruptionBudget", "postern");
        let replicas = deployment.value["spec"]["replicas"].as_u64().expect("a number");

        assert_eq!(budget.value["spec"]["selector"], deployment.value["spec"]["selector"]);
        assert_eq!(budget.value["spec"]["maxUnavailable"], 1);
        assert!(replicas >= 3, "{replicas} replicas");
    }
}

#[test]
fn servers_spread_over_nodes() {
    for cluster in Cluster::all() {
        let selector = &cluster.object("Deployment", "postern").value["spec"]["selector"];
        let spec = &cluster.server().template["spec"];
        let away = list(spec, "/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution");
        let spread = list(spec, "/topologySpreadConstraints");

        assert!(!away.is_empty() && away.iter().all(|term| term["podAffinityTerm"]["labelSelector"] == *selector));
        assert!(!spread.is_empty() && spread.iter().all(|constraint| constraint["labelSelector"] == *selector));
    }
}

/// The policies for a pod, without the one that denies everything.
fn policies<'cluster>(cluster: &'cluster Cluster, pod: Pod<'cluster>) -> Vec<&'cluster Object> {
    let is_for = |policy: &&Object| {
        let selector = &policy.value["spec"]["podSelector"];
        selector.get("matchLabels").is_some() && pod.has_labels(labels(selector))
    };
    cluster.of_kind("NetworkPolicy").filter(is_for).collect()
}

/// The ports of the rules at a JSON pointer.
fn ports(policy: &Object, rules: &str) -> BTreeSet<u64> {
    let ports = list(&policy.value, rules).iter().flat_map(|rule| list(rule, "/ports"));
    ports.map(|port| port["port"].as_u64().expect("a number")).collect()
}

#[test]
fn traffic_without_a_policy_is_denied() {
    for cluster in Cluster::all() {
        let deny = cluster.object("NetworkPolicy", "default-deny");

        assert_eq!(deny.value["spec"]["podSelector"], serde_json::json!({}));
        assert_eq!(deny.value["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
        assert!(list(&deny.value, "/spec/ingress").is_empty() && list(&deny.value, "/spec/egress").is_empty());
    }
}

#[test]
fn every_pod_has_one_policy_for_both_directions() {
    for cluster in Cluster::all() {
        for pod in cluster.pods() {
            let policies = policies(&cluster, pod);

            assert_eq!(policies.len(), 1, "{}", pod.owner);
            assert_eq!(policies[0].value["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
        }
    }
}

#[test]
fn policies_admit_exactly_the_ports_of_a_pod() {
    for cluster in Cluster::all() {
        for pod in cluster.pods() {
            let has = pod.containers().flat_map(|container| list(container, "/ports"));
            let has: BTreeSet<_> = has.map(|port| port["containerPort"].as_u64().expect("a number")).collect();

            assert_eq!(ports(policies(&cluster, pod)[0], "/spec/ingress"), has, "{}", pod.owner);
        }
    }
}

/// Returns the peers that may connect to a port of the servers: the `from` of each rule, which must not admit everyone.
fn admitted(cluster: &Cluster, port: u64) -> Vec<Value> {
    let policy = policies(cluster, cluster.server())[0];
    let rules = list(&policy.value, "/spec/ingress").iter();
    let rules = rules.filter(|rule| list(rule, "/ports").iter().any(|other| other["port"] == port));
    rules
        .flat_map(|rule| {
            let from = list(rule, "/from");
            assert!(!from.is_empty(), "{rule} admits everyone");
            from.to_vec()
        })
        .collect()
}

#[test]
fn only_monitoring_reaches_the_operations_port() {
    for cluster in Cluster::all() {
        let expected = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
        assert_eq!(admitted(&cluster, 8001), [expected]);
    }
}

#[test]
fn only_the_ingress_controller_reaches_the_public_api() {
    for cluster in Cluster::all() {
        // One element: with two, any pod of the namespace and any such pod of this one would be admitted.
        let expected = json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "traefik"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "traefik"}},
        });
        assert_eq!(admitted(&cluster, 8000), [expected]);
    }
}

#[test]
fn pod_reaches_only_the_pods_that_it_needs() {
    for cluster in Cluster::all() {
        let outgoing = |pod| ports(policies(&cluster, pod)[0], "/spec/egress");

        assert_eq!(outgoing(cluster.server()), BTreeSet::from([DNS, POSTGRES, REDIS]));
        assert_eq!(outgoing(cluster.migration()), BTreeSet::from([DNS, POSTGRES]));
        for pod in cluster.pods().filter(|pod| !pod.is_ours()) {
            assert!(outgoing(pod).is_empty(), "{}", pod.owner);
        }
    }
}

#[test]
fn demo_policies_agree_at_both_ends() {
    let demo = Cluster::demo();
    for pod in [demo.server(), demo.migration()] {
        let rules = list(&policies(&demo, pod)[0].value, "/spec/egress");
        for rule in rules.iter().filter(|rule| list(rule, "/ports")[0]["port"] != DNS) {
            let called = demo.selected(labels(&list(rule, "/to")[0]["podSelector"]));
            assert_eq!(called.len(), 1, "{rule}");
            assert!(called[0].port(&list(rule, "/ports")[0]["port"]).is_some(), "{rule}");

            let let_in = list(&policies(&demo, called[0])[0].value, "/spec/ingress");
            let mut let_in = let_in.iter().flat_map(|rule| list(rule, "/from"));
            assert!(let_in.any(|from| pod.has_labels(labels(&from["podSelector"]))), "{}: {rule}", pod.owner);
        }
    }
}

#[test]
fn redis_admits_no_migration() {
    let demo = Cluster::demo();
    let policy = demo.object("NetworkPolicy", "redis");
    for from in list(&policy.value, "/spec/ingress").iter().flat_map(|rule| list(rule, "/from")) {
        assert!(!demo.migration().has_labels(labels(&from["podSelector"])));
    }
}
