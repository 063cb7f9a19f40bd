//! Load: a number of concurrent calls for some time, each of them timed.
//!
//! Each of N tasks makes a call, waits for its answer, and makes the next (a closed loop), all on one thread. Calls
//! that end in the first fifth of the time are not counted.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use super::proc;

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Answered calls per second.
    pub rate: f64,
    /// The latency of each call in nanoseconds.
    pub latencies: Histogram<u64>,
    /// The number of failed calls.
    pub failed: u64,
    /// The processor time of a call in this process and in the server's, in microseconds.
    pub cost: (f64, f64),
}

/// A histogram from a microsecond to a minute, exact to three digits.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds that do")
}

impl Run {
    /// The latency in milliseconds that this share of the calls does not exceed.
    pub fn milliseconds(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1e6
    }

    /// The results as JSON.
    pub fn json(&self) -> Json {
        json!({"calls_per_second": self.rate, "failed": self.failed, "latency_ms": {
            "p50": self.milliseconds(0.5), "p90": self.milliseconds(0.9),
            "p99": self.milliseconds(0.99), "max": self.latencies.max() as f64 / 1e6,
        }})
    }

    /// The results of several runs of the same kind: the median rate, and the latencies of all.
    pub fn of(runs: &[Run]) -> Run {
        let rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
        let mut all = latencies();
        for run in runs {
            all.add(&run.latencies).expect("the same bounds");
        }
        let failed = runs.iter().map(|run| run.failed).sum();
        let cost = |pick: fn(&Run) -> f64| super::median(&runs.iter().map(pick).collect::<Vec<_>>());
        Run {
            rate: super::median(&rates),
            latencies: all,
            failed,
            cost: (cost(|run| run.cost.0), cost(|run| run.cost.1)),
        }
    }
}

/// Keeps a number of calls under way on a server in another process. It must run on a thread with a local task set.
pub async fn drive<F, Fut>(server: u32, in_flight: usize, time: Duration, call: F) -> Run
where
    F: Fn() -> Fut + Clone + 'static,
    Fut: Future<Output = bool> + 'static,
{
    let counted = Rc::new(RefCell::new((latencies(), 0)));
    let calls = Rc::new(Cell::new(0_u64));
    let spent = || (proc::cpu(std::process::id()), proc::cpu(server));
    let before = spent();
    let began = Instant::now();
    let (from, until) = (began + time / 5, began + time);
    let tasks = (0..in_flight).map(|_| {
        let (call, counted, calls) = (call.clone(), counted.clone(), calls.clone());
        tokio::task::spawn_local(async move {
            loop {
                let asked = Instant::now();
                if asked >= until {
                    break;
                }
                let answered = call().await;
                calls.set(calls.get() + 1);
                let now = Instant::now();
                if now < from || now > until {
                    continue;
                }
                let (latencies, failed) = &mut *counted.borrow_mut();
                if answered {
                    latencies.saturating_record((now - asked).as_nanos() as u64);
                } else {
                    *failed += 1;
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it ends");
    }
    let after = spent();
    let cost = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / calls.get() as f64;
    let cost = (cost(before.0, after.0), cost(before.1, after.1));
    let (latencies, failed) = counted.replace((latencies(), 0));
    Run { rate: latencies.len() as f64 / (until - from).as_secs_f64(), latencies, failed, cost }
}
