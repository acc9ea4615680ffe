//! The objects of `k8s/`, as a cluster gets them.

use std::{fmt, fs, path::PathBuf};

use serde_json::Value;

/// A cluster with one of our directories applied.
pub struct Cluster {
    /// The directory below `k8s/`.
    pub directory: &'static str,
    /// Its objects.
    pub objects: Vec<Object>,
}

/// An object of Kubernetes, and its file.
pub struct Object {
    /// The file's name.
    pub file: String,
    /// Its content.
    pub value: Value,
}

/// The pods that a `Deployment`, `StatefulSet` or `Job` makes.
#[derive(Clone, Copy)]
pub struct Pod<'cluster> {
    /// Their owner.
    pub owner: &'cluster Object,
    /// The template of each.
    pub template: &'cluster Value,
}

impl Cluster {
    /// `k8s/base` alone.
    pub fn base() -> Self {
        Self { directory: "base", objects: objects("base") }
    }

    /// `k8s/overlays/demo` on top of it.
    pub fn demo() -> Self {
        let directory = "overlays/demo";
        Self::overlay(directory, objects(directory), &kustomization(directory))
    }

    /// The overlay in the comment of the base's kustomization, on top of it.
    pub fn documented() -> Self {
        Self::overlay("base", Vec::new(), &documented_overlay())
    }

    /// Adds objects to the base, and changes all of them as a kustomization says.
    fn overlay(directory: &'static str, own: Vec<Object>, kustomization: &Value) -> Self {
        let mut all = objects("base");
        all.extend(own);
        for object in &mut all {
            if object.kind() != "Namespace" {
                object.value["metadata"]["namespace"] = kustomization["namespace"].clone();
            }
            for image in list(kustomization, "/images") {
                rename_image(&mut object.value, image);
            }
        }
        for patch in list(kustomization, "/patches") {
            let (kind, name) = (text(patch, "/target/kind"), text(patch, "/target/name"));
            let target = all.iter_mut().find(|object| object.kind() == kind && object.name() == name);
            let target = target.unwrap_or_else(|| panic!("there is a {kind} {name} to patch"));
            for step in list(&yaml(text(patch, "/patch")), "") {
                apply(step, &mut target.value);
            }
        }
        Self { directory, objects: all }
    }

    /// Returns the clusters that can run: the base needs an overlay.
    pub fn all() -> [Self; 2] {
        [Self::documented(), Self::demo()]
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// The object of a kind and name.
    #[track_caller]
    pub fn object(&self, kind: &str, name: &str) -> &Object {
        let found = self.of_kind(kind).find(|object| object.name() == name);
        found.unwrap_or_else(|| panic!("there is a {kind} {name} in {}", self.directory))
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = Pod<'_>> {
        self.objects.iter().filter_map(Object::pod)
    }

    /// The pods that labels select.
    pub fn selected(&self, labels: &Value) -> Vec<Pod<'_>> {
        self.pods().filter(|pod| pod.has_labels(labels)).collect()
    }

    /// The pods of the servers.
    pub fn server(&self) -> Pod<'_> {
        self.object("Deployment", "postern").pod().expect("a Deployment has pods")
    }

    /// The pods of the migration.
    pub fn migration(&self) -> Pod<'_> {
        self.object("Job", "postern-migrate").pod().expect("a Job has pods")
    }
}

impl Object {
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    pub fn pod(&self) -> Option<Pod<'_>> {
        let template = self.value.pointer("/spec/template")?;
        Some(Pod { owner: self, template })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind(), self.name())
    }
}

impl<'cluster> Pod<'cluster> {
    /// Its containers.
    pub fn containers(self) -> impl Iterator<Item = &'cluster Value> {
        list(self.template, "/spec/initContainers").iter().chain(list(self.template, "/spec/containers"))
    }

    /// Its first container.
    pub fn container(self) -> &'cluster Value {
        &list(self.template, "/spec/containers")[0]
    }

    /// Tells whether it runs our program.
    pub fn is_ours(self) -> bool {
        image_name(text(self.container(), "/image")).ends_with("/postern")
    }

    /// Tells whether it has all of these labels.
    pub fn has_labels(self, labels: &Value) -> bool {
        let wanted = labels.as_object().expect("labels");
        wanted.iter().all(|(name, value)| self.template["metadata"]["labels"].get(name) == Some(value))
    }

    /// The number of a port that is given by number or by name.
    pub fn port(self, port: &Value) -> Option<u64> {
        let mut ports = self.containers().flat_map(|container| list(container, "/ports"));
        ports.find(|known| known["name"] == *port || known["containerPort"] == *port)?["containerPort"].as_u64()
    }
}

/// An image's address without its tag.
pub fn image_name(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(name, _)| name)
}

/// Returns the content of a kustomization.
pub fn kustomization(directory: &str) -> Value {
    yaml(&read(&format!("k8s/{directory}/kustomization.yaml")))
}

/// Returns the overlay in the comment of the base's kustomization.
fn documented_overlay() -> Value {
    let text = read("k8s/base/kustomization.yaml");
    let lines = text.lines().skip_while(|line| !line.starts_with("#     resources: "));
    let lines = lines.map_while(|line| line.strip_prefix("#     "));
    yaml(&lines.collect::<Vec<_>>().join("\n"))
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of a directory's files, in order.
pub fn files(directory: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
    let names = fs::read_dir(path).expect("a directory").map(|entry| name(entry).expect("UTF-8"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Returns the text at a JSON pointer; empty if there is none.
pub fn text<'value>(value: &'value Value, pointer: &str) -> &'value str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the list at a JSON pointer; empty if there is none.
pub fn list<'value>(value: &'value Value, pointer: &str) -> &'value [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns the objects of a directory, unchanged.
pub fn objects(directory: &str) -> Vec<Object> {
    let names = files(&format!("k8s/{directory}"));
    let names = names.into_iter().filter(|name| name != "kustomization.yaml");
    names.map(|file| Object { value: yaml(&read(&format!("k8s/{directory}/{file}"))), file }).collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn rename_image(object: &mut Value, image: &Value) {
    let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if image_name(text(container, "/image")) == text(image, "/name") {
            container["image"] = format!("{}:{}", text(image, "/newName"), text(image, "/newTag")).into();
        }
    }
}

/// Applies a step of a JSON patch (RFC 6902), as far as ours go.
fn apply(step: &Value, object: &mut Value) {
    let (path, value) = (text(step, "/path"), step["value"].clone());
    match (text(step, "/op"), path.strip_suffix("/-")) {
        ("replace", None) => *object.pointer_mut(path).unwrap_or_else(|| panic!("there is a {path}")) = value,
        ("add", Some(list)) => {
            let list = object.pointer_mut(list).and_then(Value::as_array_mut);
            list.unwrap_or_else(|| panic!("there is a list for {path}")).push(value);
        }
        (operation, _) => panic!("the tests know no {operation} of {path}"),
    }
}
