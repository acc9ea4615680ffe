//! The imports between the files of `src`, and what they must not do.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

/// Source files, by their paths below `src`.
pub type Sources = BTreeMap<String, String>;

/// The imports of each file: the files that it names in `use` declarations and in paths.
pub struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Reads the imports off the sources, without those of tests.
    pub fn of(sources: &Sources) -> Self {
        let crates = Crates::of(sources);
        let imports = sources.iter().map(|(file, text)| {
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut paths = Paths { module: module_of(file), found: Vec::new() };
            paths.visit_file(&parsed);
            let files = paths.found.iter().filter_map(|path| crates.file_of(file, path));
            (file.clone(), files.filter(|other| other != file).collect())
        });
        Self(imports.collect())
    }

    /// Returns the files of a circle, if there is one.
    pub fn circle(&self) -> Option<Vec<&str>> {
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|file| self.circle_from(file, &mut Vec::new(), &mut done))
    }

    fn circle_from<'a>(
        &'a self,
        file: &'a str,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if let Some(start) = path.iter().position(|other| *other == file) {
            return Some(path[start..].to_vec());
        }
        if done.contains(file) {
            return None;
        }
        path.push(file);
        let circle = self.0[file].iter().find_map(|next| self.circle_from(next, path, done));
        path.pop();
        done.insert(file);
        circle
    }

    /// Returns each import of a higher layer by a lower one, as `importer → imported`.
    pub fn upward(&self, layers: &[String]) -> Vec<String> {
        let height = |file: &str| {
            // The longest entry is the layer: `store/postgres/` is not in `store/`.
            let of_file = layers.iter().enumerate().filter(|(_, layer)| file == *layer || is_below(file, layer));
            let layer = of_file.max_by_key(|(_, layer)| layer.len());
            layer.unwrap_or_else(|| panic!("{file} belongs to a layer")).0
        };
        let edges = self.0.iter().flat_map(|(file, imports)| imports.iter().map(move |import| (file, import)));
        let upward = edges.filter(|(file, import)| height(file) > height(import));
        upward.map(|(file, import)| format!("{file} → {import}")).collect()
    }
}

fn is_below(file: &str, layer: &str) -> bool {
    layer.ends_with('/') && file.starts_with(layer)
}

/// The modules of the library and those of the binary, which `main.rs` declares.
struct Crates {
    library: BTreeMap<Vec<String>, String>,
    binary: BTreeMap<Vec<String>, String>,
}

impl Crates {
    fn of(sources: &Sources) -> Self {
        let main = sources.get("main.rs").map_or("", String::as_str);
        let is_of_binary = |file: &str| {
            let name = file.trim_end_matches(".rs");
            name == "main" || main.contains(&format!("\nmod {name};\n"))
        };
        let modules = |file: &String| (module_of(file), file.clone());
        let (binary, library) = sources.keys().partition::<Vec<_>, _>(|file| is_of_binary(file));
        Self { library: library.into_iter().map(modules).collect(), binary: binary.into_iter().map(modules).collect() }
    }

    /// Returns the file that a path leads to: of its longest beginning that is a module.
    fn file_of(&self, importer: &str, path: &[String]) -> Option<String> {
        let (modules, path) = match path.split_first()? {
            (first, rest) if first == "postern" => (&self.library, rest),
            (first, rest) if first == "crate" && self.binary.values().any(|file| file == importer) => {
                (&self.binary, rest)
            }
            (first, rest) if first == "crate" => (&self.library, rest),
            _ => return None,
        };
        (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]).cloned())
    }
}

/// Returns the module that a file is, without `crate`: `store/mod.rs` is `["store"]`.
fn module_of(file: &str) -> Vec<String> {
    let mut names: Vec<_> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    names.retain(|name| !["mod", "lib", "main"].contains(&name.as_str()));
    names
}

/// Collects paths that begin with `crate`, `postern`, `self` or `super`, made absolute.
struct Paths {
    module: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut absolute = vec!["crate".to_owned()];
        match path[0].as_str() {
            "crate" | "postern" => absolute = path.to_vec(),
            "self" | "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                absolute.extend_from_slice(&self.module[..self.module.len().saturating_sub(ups)]);
                absolute.extend(path.iter().skip_while(|name| *name == "super" || *name == "self").cloned());
            }
            _ => return,
        }
        self.found.push(absolute);
    }

    fn add_tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(item, before)),
            UseTree::Name(name) if name.ident == "self" => self.add(before),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
        });
        if !is_test {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        files.iter().map(|(file, code)| ((*file).to_owned(), (*code).to_owned())).collect()
    }

    fn circle(files: &[(&str, &str)]) -> Option<Vec<String>> {
        let imports = Imports::of(&sources(files));
        imports.circle().map(|files| files.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn circle_of_files_is_found() {
        let found = circle(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "pub struct B(crate::c::C);"),
            ("c.rs", "use std::fmt;\nuse crate::{a::{self, A}, d::D};"),
        ]);

        assert_eq!(found, Some(["a.rs", "b.rs", "c.rs"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn circle_through_super_and_self_is_found() {
        let found = circle(&[("a/mod.rs", "mod b;\npub use self::b::B;"), ("a/b.rs", "use super::A;")]);
        assert_eq!(found, Some(["a/b.rs", "a/mod.rs"].map(str::to_owned).to_vec()));

        let found = circle(&[("a/b.rs", "use super::{c::C, e};"), ("a/c.rs", "fn c() -> super::b::B { todo!() }")]);
        assert_eq!(found, Some(["a/b.rs", "a/c.rs"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn circle_between_library_and_binary_names_is_none() {
        let found = circle(&[
            ("main.rs", "\nmod app;\nuse self::app::App;"),
            ("app.rs", "use postern::{audit, keys::Key};\nuse crate::exit::Exit;"),
            ("keys.rs", "use crate::audit::Trail;"),
            ("audit.rs", "pub struct Trail;\n#[cfg(test)]\nmod tests { use crate::keys::Key; }"),
        ]);

        assert_eq!(found, None);
    }

    #[test]
    fn upward_import_is_found() {
        let imports = Imports::of(&sources(&[
            ("store/mod.rs", "use crate::model::Name;"),
            ("store/postgres/users.rs", "use crate::store::Users;"),
            ("model/mod.rs", "use crate::store::Users;"),
        ]));
        let layers = ["store/postgres/", "store/", "model/"].map(str::to_owned);

        assert_eq!(imports.upward(&layers), ["model/mod.rs → store/mod.rs"]);
    }
}
