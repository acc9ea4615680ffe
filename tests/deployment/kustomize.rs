//! The directories of `k8s/`.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, files, kustomization, list, objects, text};

#[test]
fn every_file_is_listed_and_every_listed_file_exists() {
    for directory in ["base", "overlays/demo"] {
        let kustomization = kustomization(directory);
        let listed = list(&kustomization, "/resources").iter().map(|resource| resource.as_str().expect("a path"));
        let listed: BTreeSet<_> = listed.filter(|path| !path.starts_with("../")).map(str::to_owned).collect();

        let there = files(&format!("k8s/{directory}")).into_iter().filter(|name| name != "kustomization.yaml");

        assert_eq!(listed, there.collect(), "{directory}");
    }
}

#[test]
fn every_object_is_in_the_namespace_of_its_directory() {
    let expected = [("base", "postern"), ("overlays/demo", "postern-demo")];
    for (directory, namespace) in expected {
        for object in objects(directory).iter().filter(|object| object.kind() != "Namespace") {
            assert_eq!(text(&object.value, "/metadata/namespace"), namespace, "{object} ({})", object.file);
        }
    }
    assert_eq!(kustomization("overlays/demo")["namespace"], expected[1].1);
}

#[test]
fn no_two_objects_have_the_same_name() {
    for cluster in Cluster::all() {
        let mut names = BTreeSet::new();
        for object in &cluster.objects {
            assert!(names.insert(object.to_string()), "{object} is there twice in {}", cluster.directory);
        }
    }
}

#[test]
fn demo_namespace_accepts_restricted_pods_only() {
    let demo = Cluster::demo();
    let namespace = demo.object("Namespace", text(&kustomization("overlays/demo"), "/namespace"));

    assert_eq!(namespace.value["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn local_image_is_never_pulled() {
    for pod in Cluster::demo().pods().filter(|pod| pod.is_ours()) {
        let container = pod.container();
        assert!(text(container, "/image").starts_with("localhost/postern:"), "{}", pod.owner);
        assert_eq!(container["imagePullPolicy"], "IfNotPresent", "{}", pod.owner);
    }
}
