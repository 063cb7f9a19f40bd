//! The program that `status.spawn` starts.
//!
//! ```text
//! 1. the program that the application names, with Builder::program
//! 2. `chinwag` in the directory of the running executable
//! 3. `chinwag` in a directory of PATH
//! otherwise                                  SpawnFailed, which says where the search looked and what to do
//! ```
//!
//! The `chinwag` program names itself. Any other program is never started again by itself, because it would not become
//! a node. The search happens at each spawn, so that a program installed later is found.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use chinwag_protocol::call::{CallError, ErrorKind};

/// The program with which a node starts other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Program {
    /// The `chinwag` program, which is searched for.
    #[default]
    Chinwag,
    /// A program that the application named. It must take `--config` as `chinwag` does.
    Named(PathBuf),
}

impl Program {
    /// The program's path.
    pub(crate) fn locate(&self) -> Result<PathBuf, CallError> {
        match self {
            Program::Named(program) => Ok(program.clone()),
            Program::Chinwag => {
                let executable = env::current_exe().ok();
                let beside = executable.as_deref().and_then(Path::parent);
                find(beside, env::var_os("PATH").as_deref())
            }
        }
    }
}

/// Finds `chinwag` in the directory of the running executable, or else in those of a search path. Relative directories
/// are skipped, because what they contain depends on where the process happens to run.
fn find(beside: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, CallError> {
    let name = format!("chinwag{}", env::consts::EXE_SUFFIX);
    let listed = path.into_iter().flat_map(env::split_paths).filter(|directory| directory.is_absolute());
    let mut candidates = beside.map(Path::to_owned).into_iter().chain(listed).map(|directory| directory.join(&name));
    candidates.find(|program| is_executable(program)).ok_or_else(|| {
        let beside =
            beside.map_or_else(|| "beside this executable".to_owned(), |path| format!("in {}", path.display()));
        let message = format!(
            "there is no program to start a node with: no {name} is {beside} or in a directory of PATH; \
             install chinwag-cli, or name a program with Builder::program"
        );
        CallError::new(ErrorKind::SpawnFailed, message)
    })
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A new directory, removed when dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = env::temp_dir().join(format!("chinwag-program-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Directory(path)
        }

        /// Writes a file called `chinwag` into it.
        fn with_chinwag(self, executable: bool) -> Directory {
            let file = self.chinwag();
            fs::write(&file, "").unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = if executable { 0o755 } else { 0o644 };
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            }
            #[cfg(not(unix))]
            let _ = executable;
            self
        }

        fn chinwag(&self) -> PathBuf {
            self.0.join(format!("chinwag{}", env::consts::EXE_SUFFIX))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn search_path(directories: &[&Path]) -> std::ffi::OsString {
        env::join_paths(directories).unwrap()
    }

    #[test]
    fn a_named_program_is_not_searched_for() {
        assert_eq!(Program::Named("of/mine".into()).locate(), Ok("of/mine".into()));
    }

    #[test]
    fn chinwag_beside_the_executable_precedes_the_search_path() {
        let (beside, listed) =
            (Directory::new("beside").with_chinwag(true), Directory::new("listed").with_chinwag(true));
        let path = search_path(&[&listed.0]);
        assert_eq!(find(Some(&beside.0), Some(&path)), Ok(beside.chinwag()));
        fs::remove_file(beside.chinwag()).unwrap();
        assert_eq!(find(Some(&beside.0), Some(&path)), Ok(listed.chinwag()));
        assert_eq!(find(None, Some(&path)), Ok(listed.chinwag()));
    }

    #[test]
    fn relative_directories_of_the_search_path_are_skipped() {
        let path = search_path(&[Path::new("."), Path::new("src")]);
        assert_eq!(find(None, Some(&path)).unwrap_err().kind, ErrorKind::SpawnFailed);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_executed_is_skipped() {
        let (text, program) =
            (Directory::new("text").with_chinwag(false), Directory::new("program").with_chinwag(true));
        let path = search_path(&[&text.0, &program.0]);
        assert_eq!(find(None, Some(&path)), Ok(program.chinwag()));
    }

    #[test]
    fn a_missing_program_is_reported_with_the_places_searched_and_the_remedy() {
        let empty = Directory::new("empty");
        let error = find(Some(&empty.0), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::SpawnFailed);
        for part in [&*empty.0.display().to_string(), "PATH", "chinwag-cli", "Builder::program"] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
}
