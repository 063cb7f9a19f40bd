//! The JavaScript reference, if it is installed: `node` on the path, and the package `@brown-ds/distribution` in
//! `tests/interop/node_modules` or in the `node_modules` that the environment variable `CHINWAG_REFERENCE` names.
//!
//! `reference.js` runs its part of each benchmark, and prints JSON.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value as Json;

const PACKAGE: &str = "@brown-ds/distribution";

/// Runs the reference's part of a benchmark, and returns the JSON on the last line that it prints.
///
/// # Errors
/// Why it cannot be run, or what went wrong.
pub fn run(part: &str, arguments: &[String]) -> Result<Json, String> {
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let modules =
        std::env::var_os("CHINWAG_REFERENCE").map_or_else(|| here.join("tests/interop/node_modules"), PathBuf::from);
    let package = modules.join(PACKAGE);
    if !package.join("distribution.js").exists() {
        return Err(format!("{PACKAGE} is not in {}", modules.strip_prefix(here).unwrap_or(&modules).display()));
    }
    let mut command = Command::new("node");
    command.arg(here.join("benches/support/reference.js")).arg(&package).arg(part).args(arguments);
    // outside of a repository, the package finds its own program
    command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().map_err(|why| format!("node does not start: {why}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| format!("it ended with {} and said {last:?}", output.status))
}

/// The name of the reference with its version, if it reports one.
pub fn name(said: &Json) -> String {
    format!("reference {}", said["version"].as_str().unwrap_or("?"))
}
