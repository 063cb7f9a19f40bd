//! The JavaScript reference, where it is found: `node` on the path, and the package `@brown-ds/distribution` in
//! `tests/interop/node_modules`, or where the environment variable `CHINWAG_REFERENCE` says (a `node_modules`).
//!
//! Its part of each benchmark is `reference.js`, which prints JSON.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value as Json;

const PACKAGE: &str = "@brown-ds/distribution";

/// Runs the reference's part of a benchmark, and answers what it prints: JSON, on its last line.
///
/// # Errors
/// Why there is nothing to run, or what went wrong.
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
    // outside of any repository the package finds its own program
    command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().map_err(|why| format!("node does not start: {why}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| format!("it ended with {} and said {last:?}", output.status))
}

/// The version of the package that ran, where it says.
pub fn name(said: &Json) -> String {
    format!("reference {}", said["version"].as_str().unwrap_or("?"))
}
