//! Runs tasks on all cores.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::output::progress;

/// Runs `count` tasks on all cores, and returns their results in order. It ends early when one of them returns a break.
pub(super) fn each<T: Send>(
    count: u64,
    what: &'static str,
    work: impl Fn(u64) -> T + Sync,
    enough: impl Fn(&T) -> bool + Sync,
) -> Vec<T> {
    let bar = progress(count, what);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let result = work(number as u64);
            if enough(&result) {
                stop.store(true, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(worker);
        }
        // only this thread's heap grows in large steps, so a single run is on this thread
        worker();
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
