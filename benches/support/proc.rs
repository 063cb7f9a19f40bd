//! What the operating system reports about processes and the machine.

use std::{fs, time::Duration};

/// The machine in one line: processor, cores, memory, kernel.
pub fn machine() -> String {
    let line = |path: &str, key: &str| -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = line("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
    let memory = memory.map_or_else(String::new, |kilobytes| format!(", {} GB", (kilobytes + 524_288) >> 20));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores{memory}, {} {}", std::env::consts::OS, kernel.trim())
}

/// The children of this process that run a program of this name (its first 15 characters).
pub fn children(name: &str) -> Vec<u32> {
    let of = std::process::id().to_string();
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let ids = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let Some((head, tail)) = stat.rsplit_once(')') else { return false };
        head.split_once('(').is_some_and(|(_, program)| program == name) && tail.split(' ').nth(2) == Some(&of)
    })
    .collect()
}

/// The memory of a process in megabytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The resident memory, with the program's own text (RSS).
    pub resident: f64,
    /// The resident memory with shared parts divided among their processes (PSS).
    pub proportional: f64,
    /// The number of threads.
    pub threads: f64,
}

/// The memory of a process, or `None` if it has ended.
pub fn memory(id: u32) -> Option<Memory> {
    let figure = |path: String, key: &str| -> Option<f64> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory {
        resident: figure(format!("/proc/{id}/status"), "VmRSS:")? / 1_024.0,
        proportional: figure(format!("/proc/{id}/smaps_rollup"), "Pss:")? / 1_024.0,
        threads: figure(format!("/proc/{id}/status"), "Threads:")?,
    })
}

/// The processor time that the threads of a process have used.
pub fn cpu(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).map(|tasks| tasks.flatten().collect::<Vec<_>>());
    let nanoseconds = tasks.unwrap_or_default().into_iter().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The number of context switches of a process's threads.
pub fn switches(id: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).map(|tasks| tasks.flatten().collect::<Vec<_>>());
    let of_task = |text: String| -> u64 {
        let lines = text.lines().filter(|line| line.contains("ctxt_switches:"));
        lines.filter_map(|line| line.split_once(':')?.1.trim().parse::<u64>().ok()).sum()
    };
    let texts = tasks.unwrap_or_default().into_iter().map(|task| fs::read_to_string(task.path().join("status")));
    texts.map(|text| of_task(text.unwrap_or_default())).sum()
}
