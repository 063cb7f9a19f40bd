//! The files of a crate import each other in one direction only.
//!
//! Cargo rejects cycles between crates, and this test rejects cycles between the files of one crate. A name counts as
//! an import of the file that defines it, so a module that re-exports its children does not depend on them. Code under
//! `#[cfg(test)]` or `#[cfg(doc)]` may import anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Item, UseTree,
    visit::{self, Visit},
};

/// The folders of the crates, each with its root file.
const CRATES: [(&str, &str); 5] =
    [("protocol", "lib.rs"), ("actors", "lib.rs"), ("src", "lib.rs"), ("simulation", "lib.rs"), ("cli", "main.rs")];

/// The path from the root of a crate to a module or an item.
type Names = Vec<String>;

/// A module: its file, its definitions and its imports.
#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    /// The names that imports and re-exports introduce, and the paths that they stand for.
    imports: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// The paths of the module's own imports, and those in its code. A re-export counts only if the code uses it.
    used: Vec<Names>,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Names, Module>,
}

impl Crate {
    fn read(root: &Path, file: &str) -> Crate {
        let mut read = Crate::default();
        read.load(&root.join(file), root, Vec::new());
        read
    }

    /// Reads the file of a module, and those of its children in `folder`.
    fn load(&mut self, file: &Path, folder: &Path, name: Names) {
        let parsed = fs::read_to_string(file).map(|text| syn::parse_file(&text));
        assert!(matches!(parsed, Ok(Ok(_))), "{} cannot be parsed", file.display());
        let Ok(Ok(parsed)) = parsed else { return };
        self.gather(file, folder, name, &parsed.items);
    }

    fn gather(&mut self, file: &Path, folder: &Path, name: Names, items: &[Item]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let items: Vec<&Item> = items.iter().filter(|item| !is_compiled_away(item)).collect();
        for item in &items {
            match item {
                Item::Mod(child) => {
                    let ident = child.ident.to_string();
                    module.children.insert(ident.clone());
                    let inner = [name.clone(), vec![ident.clone()]].concat();
                    let folder_of_child = folder.join(&ident);
                    match &child.content {
                        Some((_, items)) => self.gather(file, &folder_of_child, inner, items),
                        None => {
                            let beside = folder.join(format!("{ident}.rs"));
                            let file = if beside.exists() { beside } else { folder_of_child.join("mod.rs") };
                            self.load(&file, &folder_of_child, inner);
                        }
                    }
                }
                Item::Use(import) => module.import(&name, import),
                _ => {}
            }
        }
        for item in items {
            if !matches!(item, Item::Mod(_) | Item::Use(_)) {
                Paths { module: &mut module, name: &name }.visit_item(item);
            }
        }
        self.modules.insert(name, module);
    }

    /// The file that defines a path, or `None` for a module and for names of other crates.
    fn definer(&self, path: &[String], depth: usize) -> Option<&Path> {
        // an import that leads back to itself defines nothing
        if depth > 16 {
            return None;
        }
        let mut at: Names = Vec::new();
        for (index, segment) in path.iter().enumerate() {
            let module = self.modules.get(&at)?;
            if module.children.contains(segment) {
                at.push(segment.clone());
                continue;
            }
            let rest = &path[index + 1..];
            if let Some(target) = module.imports.get(segment) {
                return self.definer(&[target, rest].concat(), depth + 1);
            }
            let through_glob = |glob: &Names| {
                let target = [&glob[..], &path[index..]].concat();
                self.modules.get(glob).filter(|module| module.names(segment)).and(self.definer(&target, depth + 1))
            };
            return module.globs.iter().find_map(through_glob).or(Some(&module.file));
        }
        None
    }

    /// The files that each file imports.
    fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut edges: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for module in self.modules.values() {
            let from = edges.entry(&module.file).or_default();
            let used = module.used.iter().filter_map(|path| self.definer(path, 0));
            from.extend(used.filter(|to| *to != module.file));
            let globs = module.globs.iter().filter_map(|glob| self.modules.get(glob)).map(|module| &*module.file);
            from.extend(globs.filter(|to| *to != module.file));
        }
        edges
    }
}

impl Module {
    /// Whether a glob import of this module may introduce the name.
    fn names(&self, name: &str) -> bool {
        self.imports.contains_key(name)
    }

    fn import(&mut self, here: &[String], import: &syn::ItemUse) {
        let is_own = matches!(import.vis, syn::Visibility::Inherited);
        self.import_tree(here, Vec::new(), &import.tree, is_own);
    }

    fn import_tree(&mut self, here: &[String], mut prefix: Names, tree: &UseTree, is_own: bool) {
        let (ident, name) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                return self.import_tree(here, prefix, &path.tree, is_own);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import_tree(here, prefix.clone(), tree, is_own));
            }
            UseTree::Glob(_) => return self.globs.extend(self.absolute(here, &prefix)),
            UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
        };
        let name = if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
        if ident != "self" {
            prefix.push(ident);
        }
        let Some(path) = self.absolute(here, &prefix) else { return };
        if is_own {
            self.used.push(path.clone());
        }
        self.imports.insert(name, path);
    }

    /// The path from the root of the crate, or `None` if it leads to another crate.
    fn absolute(&self, here: &[String], path: &[String]) -> Option<Names> {
        let mut at = here.to_vec();
        let mut rest = path.iter().peekable();
        match rest.peek()?.as_str() {
            "crate" => {
                at.clear();
                rest.next();
            }
            "self" => drop(rest.next()),
            "super" => {}
            first if self.children.contains(first) => {}
            first => {
                let through = self.imports.get(first)?;
                return Some([&through[..], &path[1..]].concat());
            }
        }
        while rest.next_if(|segment| *segment == "super").is_some() {
            at.pop();
        }
        at.extend(rest.cloned());
        Some(at)
    }
}

/// Whether an item exists only for tests or documentation.
fn is_compiled_away(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|what| what == "test" || what == "doc")
    })
}

/// Collects the paths in a module's code.
struct Paths<'a> {
    module: &'a mut Module,
    name: &'a Names,
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let target = match &names[..] {
            // a name that is not imported is the module's own, or a built-in one
            [name] => self.module.imports.get(name).cloned(),
            names => self.module.absolute(self.name, names),
        };
        self.module.used.extend(target);
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        self.module.import(self.name, import);
    }
}

/// Sets of files that import each other, each sorted by name.
fn cycles<'a>(edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> Vec<Vec<&'a Path>> {
    let reached = |from: &'a Path| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Path> = edges.get(from).into_iter().flatten().copied().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(edges.get(file).into_iter().flatten().copied());
            }
        }
        reached
    };
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = edges.keys().map(|file| (*file, reached(file))).collect();
    let mut cycles: Vec<Vec<&Path>> = Vec::new();
    for (file, reached) in &reach {
        if reached.contains(file) && !cycles.iter().flatten().any(|known| known == file) {
            cycles.push(reached.iter().filter(|other| reach[*other].contains(file)).copied().collect());
        }
    }
    cycles
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_cycle() {
    // the tests belong to the package in cli/
    let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = String::new();
    for (folder, file) in CRATES {
        let read = Crate::read(&root.join(folder), file);
        let edges = read.edges();
        assert!(edges.len() > 3, "{folder} has more files than {}", edges.len());
        for cycle in cycles(&edges) {
            found.push_str(&format!("{} files in a cycle:\n", cycle.len()));
            for from in &cycle {
                let to: Vec<String> =
                    edges[*from].iter().filter(|to| cycle.contains(to)).map(|to| shown(root, to)).collect();
                found.push_str(&format!("  {} imports {}\n", shown(root, from), to.join(", ")));
            }
        }
    }
    assert!(found.is_empty(), "{found}");
}

#[test]
fn the_files_of_actors_build_only_on_those_that_its_documentation_lists_above_them() {
    let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../actors");
    let text = fs::read_to_string(root.join("lib.rs")).unwrap();
    let table = text.split("//! # Layers").nth(1).and_then(|rest| rest.split("//! ```").nth(1)).unwrap();
    // a folder is listed with a slash, a file with its name
    let listed: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("//! ")?.split(' ').next()).collect();
    assert!(listed.len() > 10, "the table has more lines than {}", listed.len());
    let place = |file: &Path| {
        let path = file.strip_prefix(root).unwrap();
        let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let name = if path.components().count() > 1 { format!("{first}/") } else { first };
        listed.iter().position(|listed| *listed == name).unwrap_or_else(|| unlisted(&name))
    };
    let read = Crate::read(root, "lib.rs");
    let mut found = String::new();
    for (from, to) in read.edges().iter().filter(|(from, _)| !from.ends_with("lib.rs")) {
        for to in to.iter().filter(|to| place(to) > place(from)) {
            // the settings of shipped code are listed with the settings
            if !to.ends_with("scripts/settings.rs") {
                found.push_str(&format!("{} imports {}\n", shown(root, from), shown(root, to)));
            }
        }
    }
    assert!(found.is_empty(), "upward imports:\n{found}");
}

/// A file that the documentation does not list belongs to no layer.
fn unlisted(name: &str) -> usize {
    assert_eq!(name, "", "the documentation of actors/lib.rs lists each file");
    0
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[test]
fn a_cycle_is_found_however_its_imports_are_written() {
    let folder = std::env::temp_dir().join(format!("chinwag-layers-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; pub use self::b::B; pub struct Root;");
    let found = |a: &str, b: &str| {
        write("a.rs", a);
        write("b.rs", b);
        let read = Crate::read(&folder, "lib.rs");
        cycles(&read.edges()).iter().map(Vec::len).collect::<Vec<_>>()
    };
    let b = "use crate::a::A; pub struct B;";
    assert_eq!(found("pub struct A;", b), [0_usize; 0]);
    assert_eq!(found("use crate::b::B; pub struct A;", b), [2]);
    assert_eq!(found("use super::b; pub struct A(b::B);", b), [2]);
    assert_eq!(found("pub fn a() { crate::b::B::new() }", "use super::a::a; pub struct B;"), [2]);
    // a re-export is not a dependency of the file that contains it
    assert_eq!(found("use crate::B; pub struct A;", b), [2]);
    assert_eq!(found("use crate::Root; pub struct A;", b), [0_usize; 0]);
    write("lib.rs", "mod a; mod b; pub use self::b::B; pub struct Root(B);");
    assert_eq!(found("use crate::Root; pub struct A;", b), [3]);
    assert_eq!(found("#[cfg(test)] mod tests { use crate::b::B; } pub struct A;", b), [0_usize; 0]);
    fs::remove_dir_all(&folder).unwrap();
}
