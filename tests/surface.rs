//! What the libraries' public items must be, so that versions of their dependencies and new fields break no user.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Fields, ImplItem, Item, ItemImpl, Signature, UseTree, Visibility,
    visit::{self, Visit},
};

/// The folders of the libraries.
const LIBRARIES: [&str; 4] = ["protocol", "actors", "src", "simulation"];

/// Crates before version 1 whose types were public once. (Still public are the text of `ecow` and the generators of `rand`
/// in the protocols, and what implements traits of `actix`.)
const UNSTABLE: [&str; 3] = ["log", "futures_util", "futures_core"];

/// Structs that are configurations under other names.
const CONFIGURATIONS: [&str; 4] = ["Environment", "Heap", "Launched", "CallContext"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "examples"].contains(&name.as_str()) {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The items of all libraries, by file. Tests inside of files are not among them.
fn files() -> Vec<(PathBuf, Vec<Item>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for library in LIBRARIES {
        sources(&root.join(library), &mut found);
    }
    assert!(found.len() > 100, "{} files", found.len());
    let parse = |path: PathBuf| (path.clone(), syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap().items);
    found.into_iter().map(parse).collect()
}

#[test]
fn public_settings_can_gain_fields() {
    let mut checked = 0;
    for (path, items) in files() {
        for item in items {
            let Item::Struct(item) = item else { continue };
            let name = item.ident.to_string();
            let configures =
                ["Config", "Settings"].iter().any(|end| name.ends_with(end)) || CONFIGURATIONS.contains(&name.as_str());
            let has_public_fields = item.fields.iter().any(|field| matches!(field.vis, Visibility::Public(_)));
            if !configures || !has_public_fields || !matches!(item.vis, Visibility::Public(_)) {
                continue;
            }
            let open = item.attrs.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
            assert!(open, "{}: {name} is not #[non_exhaustive]", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 9, "only {checked} configurations were found");
}

/// Collects the names that a file imports from unstable crates.
fn imported(tree: &UseTree, inside: bool, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => {
            imported(&path.tree, inside || UNSTABLE.contains(&path.ident.to_string().as_str()), names);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| imported(tree, inside, names)),
        UseTree::Name(name) if inside => drop(names.insert(name.ident.to_string())),
        UseTree::Rename(name) if inside => drop(names.insert(name.rename.to_string())),
        UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// The paths in a signature that begin in an unstable crate.
struct Named<'a> {
    imported: &'a BTreeSet<String>,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let first = path.segments.first().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if UNSTABLE.contains(&first.as_str()) || self.imported.contains(&first) {
            self.found
                .push(path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::"));
        }
        visit::visit_path(self, path);
    }
}

impl Named<'_> {
    fn fields(&mut self, fields: &Fields) {
        fields
            .iter()
            .filter(|field| matches!(field.vis, Visibility::Public(_)))
            .for_each(|field| self.visit_type(&field.ty));
    }

    fn signature(&mut self, visibility: &Visibility, signature: &Signature) {
        if matches!(visibility, Visibility::Public(_)) {
            self.visit_signature(signature);
        }
    }

    fn implementation(&mut self, item: &ItemImpl) {
        // what implements a trait of `log` is its logger, which is in no signature
        if let Some((_, of, _)) = &item.trait_
            && of.segments.first().is_none_or(|first| first.ident != "log")
        {
            self.visit_path(of);
        }
        for item in &item.items {
            if let ImplItem::Fn(function) = item {
                self.signature(&function.vis, &function.sig);
            }
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Struct(item) if matches!(item.vis, Visibility::Public(_)) => self.fields(&item.fields),
            Item::Enum(item) if matches!(item.vis, Visibility::Public(_)) => self.visit_item_enum(item),
            Item::Type(item) if matches!(item.vis, Visibility::Public(_)) => self.visit_item_type(item),
            Item::Trait(item) if matches!(item.vis, Visibility::Public(_)) => {
                item.items.iter().for_each(|item| {
                    if let syn::TraitItem::Fn(function) = item {
                        self.visit_signature(&function.sig);
                    }
                });
            }
            Item::Fn(item) => self.signature(&item.vis, &item.sig),
            Item::Impl(item) => self.implementation(item),
            _ => {}
        }
    }
}

#[test]
fn public_signatures_name_no_type_of_log_or_futures() {
    for (path, items) in files() {
        let mut names = BTreeSet::new();
        for item in &items {
            if let Item::Use(item) = item {
                imported(&item.tree, false, &mut names);
            }
        }
        let mut named = Named { imported: &names, found: Vec::new() };
        items.iter().for_each(|item| named.item(item));
        assert!(named.found.is_empty(), "{} names {:?}", path.display(), named.found);
    }
}
