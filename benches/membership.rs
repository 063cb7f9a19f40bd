//! What membership costs processes that are idle, and how long they take to remove one that is gone. Run it with
//! `cargo bench --profile dist --bench membership`: another profile's processor time and memory are not comparable.
//!
//! ```text
//! --idle       N processes in one group. Once all see all and a pause has passed, the processor time that each takes
//!              in a window, and its memory at the end of the window
//! --killed     one is killed (SIGKILL), so that its port refuses connections: until the last of the others has removed it
//! --silent     one is stopped (SIGSTOP), so that its port accepts connections and nothing answers: the same
//! --restarted  one is killed and started again on its address within a second, which is not a failure: how often it is
//!              taken for one
//! --serf       idle agents of serf, and one that is killed, where serf is installed (`CHINWAG_SERF`, or on the path)
//! ```
//!
//! Without any of these flags all of them are measured, at several sizes, which takes a good hour; `--nodes N` measures one
//! size. Everything has its default settings. Processes run on this machine and join through one of them. There are
//! exactly N: the benchmark is not a member. It hears of failures by a stream of events from each process, and polls
//! nothing while it measures.
//!
//! # Idle
//!
//! The pause (`--quiet SECONDS`, default 65) is longer than the minute for which news of the start are kept and compared.
//! The window (`--window SECONDS`) is 30 s. The processor time is what the scheduler counted (`schedstat`), as one tick of
//! `utime` and `stime` is more than a third of a millisecond per second in such a window. Memory is resident (RSS), which
//! counts the program's own text in each process anew, and proportional (PSS), which divides what the processes share.
//! `switches` are context switches per second, the number of times that a process was woken or lost its turn. `see all`
//! counts the processes that saw all N within two minutes of the first start, and `met` is how long that took.
//!
//! # Killed and silent
//!
//! A time is from the signal until the event `failed` of a living process has arrived here: `first` of the first process,
//! `last` of the last one. After each kill (`--kills K`, default 40) the victim is started again on its address, joins
//! through another process, and the next kill waits until all see all and for another 3 to 4 s. The victims take turns.
//! `unnoticed` are kills that some process had not noticed within a minute; `listed` counts processes that still listed the
//! victim in `all` after they had all said that it failed; `others` counts removals of processes that were not killed.
//!
//! # Restarted
//!
//! In a large group a tenth of the nodes is restarted before the group is watched. A node is down for up to 0.7 s and its
//! own start, and the group is then watched for 8 s, which is longer than a suspicion lasts with default settings. `late`
//! restarts took more than a second, because the machine was busy; a node may rightly be removed meanwhile, and what is said
//! of it is not counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeSet,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    Arguments, Cell, Common, OwnOptions, Report,
    cluster::{Cluster, Kind, What},
    count, figure, main_with, median, none, number, proc, quantile, words,
};

/// How long a process may take to be removed, or to be seen again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The least pause between the return of one victim and the end of the next.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a group is watched after a restart.
const WATCH: Duration = Duration::from_secs(8);

/// The longest time between the end of a process and its new start.
const DOWN: Duration = Duration::from_millis(700);

fn main() -> ExitCode {
    let about = "What membership costs idle processes, and how long they take to remove one that is gone.";
    main_with(about, |common, options: Options| actix_web::rt::System::new().block_on(measure(common, options)))
}

/// What to measure.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    rows: Rows,
    nodes: Option<usize>,
    kills: Option<usize>,
    quiet: Option<u64>,
    window: Option<u64>,
}

/// The parts that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    idle: bool,
    killed: bool,
    silent: bool,
    restarted: bool,
    serf: bool,
}

impl Rows {
    const ALL: Rows = Rows { idle: true, killed: true, silent: true, restarted: true, serf: true };
}

impl OwnOptions for Options {
    const USAGE: &'static str = "[--idle] [--killed] [--silent] [--restarted] [--serf] [--nodes N] [--kills K] \
                                 [--quiet SECONDS] [--window SECONDS]";

    fn take(&mut self, option: &str, arguments: &mut Arguments<'_>) -> Result<bool, String> {
        match option {
            "--idle" => self.rows.idle = true,
            "--killed" => self.rows.killed = true,
            "--silent" => self.rows.silent = true,
            "--restarted" => self.rows.restarted = true,
            "--serf" => self.rows.serf = true,
            "--nodes" => self.nodes = Some(number(option, arguments, 2..=1_000)?),
            "--kills" => self.kills = Some(number(option, arguments, 1..=1_000)?),
            "--quiet" => self.quiet = Some(number(option, arguments, 0..=3_600)?),
            "--window" => self.window = Some(number(option, arguments, 1..=3_600)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Its port refuses connections.
    Killed,
    /// Its port accepts connections, and nothing answers.
    Silent,
}

impl Death {
    fn name(self) -> &'static str {
        match self {
            Death::Killed => "killed",
            Death::Silent => "silent",
        }
    }
}

async fn measure(common: Common, options: Options) -> Report {
    let mut report = Report::new("membership");
    let rows = if options.rows == Rows::default() { Rows::ALL } else { options.rows };
    let sizes = |whole: &[usize]| -> Vec<usize> {
        // one size that was asked for, or those that a look has time for
        options.nodes.map_or_else(
            || whole.iter().copied().filter(|&nodes| nodes <= 10 || !common.quick).collect(),
            |nodes| vec![nodes],
        )
    };
    let kills = options.kills.unwrap_or(if common.quick { 3 } else { 40 });
    let pause = |asked: Option<u64>, whole, quick| {
        Duration::from_secs(asked.unwrap_or(if common.quick { quick } else { whole }))
    };
    let (quiet, window) = (pause(options.quiet, 65, 5), pause(options.window, 30, 5));
    let serf = if rows.serf { Some(Kind::serf()) } else { None };

    let (mut idle, mut detection, mut restarts) = (Vec::new(), Vec::new(), Vec::new());
    if rows.idle {
        for nodes in sizes(&[10, 100, 300]) {
            idle.extend(tried(&mut report, "idle", nodes, measure_idle(Kind::Chinwag, nodes, quiet, window).await));
        }
    }
    for (death, asked) in [(Death::Killed, rows.killed), (Death::Silent, rows.silent)] {
        for nodes in if asked { sizes(&[2, 3, 10, 100]) } else { Vec::new() } {
            let measured = measure_deaths(Kind::Chinwag, nodes, death, kills).await;
            detection.extend(tried(&mut report, death.name(), nodes, measured));
        }
    }
    if rows.restarted {
        for nodes in sizes(&[2, 10, 100]) {
            restarts.extend(tried(&mut report, "restarted", nodes, measure_restarts(nodes, kills).await));
        }
    }
    match serf {
        None => {}
        Some(Err(why)) => report.skipped("serf", &why),
        Some(Ok(serf)) => {
            for nodes in sizes(&[10, 100]) {
                let measured = measure_idle(serf.clone(), nodes, quiet, window).await;
                idle.extend(tried(&mut report, "serf, idle", nodes, measured));
            }
            // a kill takes serf a good ten seconds
            let (nodes, kills) = (sizes(&[100, 10])[0], kills.min(10));
            let measured = measure_deaths(serf, nodes, Death::Killed, kills).await;
            detection.extend(tried(&mut report, "serf, killed", nodes, measured));
        }
    }

    if !idle.is_empty() {
        report.line(format!(
            "idle processes, {} s after all see all, for {} s; per process",
            quiet.as_secs(),
            window.as_secs()
        ));
        let columns = [
            "what",
            "nodes",
            "see all",
            "met s",
            "CPU ms/s",
            "mean",
            "worst",
            "RSS MB",
            "worst MB",
            "PSS MB",
            "worst PSS MB",
            "switches",
        ];
        report.table("idle", &columns, &idle.iter().map(Idle::row).collect::<Vec<_>>());
    }
    if !detection.is_empty() {
        report.line("seconds until one that is gone is removed by the first, and by the last, of the others");
        let columns =
            ["what", "nodes", "how", "kills", "first p50", "last p50", "p90", "max", "unnoticed", "listed", "others"];
        report.table("detection", &columns, &detection.iter().map(Deaths::row).collect::<Vec<_>>());
        let seconds: Vec<_> = detection.iter().map(Deaths::json).collect();
        report.put("detection_seconds", seconds);
    }
    if !restarts.is_empty() {
        report.line("processes that are killed and started again on their address within a second");
        let columns =
            ["what", "nodes", "restarts", "down p50 s", "down max", "late", "taken for failed", "events", "others"];
        report.table("restarts", &columns, &restarts.iter().map(Restarts::row).collect::<Vec<_>>());
    }
    report
}

/// Reports on stderr that a part is done, because the whole takes long; or in the report why it could not be measured.
fn tried<T>(report: &mut Report, what: &str, nodes: usize, measured: Result<T, String>) -> Option<T> {
    match measured {
        Ok(measured) => {
            eprintln!("{what}, {nodes} processes: measured");
            Some(measured)
        }
        Err(why) => {
            report.skipped(&format!("{what}, {nodes} processes"), &why);
            None
        }
    }
}

/// Idle processes, by process.
#[derive(Debug)]
struct Idle {
    what: &'static str,
    nodes: usize,
    complete: usize,
    met: Duration,
    /// Milliseconds of processor time per second.
    cpu: Vec<f64>,
    resident: Vec<f64>,
    proportional: Vec<f64>,
    /// Context switches per second.
    switches: Vec<f64>,
}

async fn measure_idle(kind: Kind, nodes: usize, quiet: Duration, window: Duration) -> Result<Idle, String> {
    let what = kind.name();
    let cluster = Cluster::start(kind, nodes, false).await?;
    tokio::time::sleep(quiet).await;
    let processes = cluster.processes();
    let spent =
        || -> Vec<(Duration, u64)> { processes.iter().map(|&id| (proc::cpu(id), proc::switches(id))).collect() };
    let (began, before) = (Instant::now(), spent());
    tokio::time::sleep(window).await;
    let (seconds, after) = (began.elapsed().as_secs_f64(), spent());
    let memory: Vec<proc::Memory> = processes.iter().filter_map(|&id| proc::memory(id)).collect();
    if memory.len() != nodes {
        return Err(format!("{} of them still run", memory.len()));
    }
    let pairs = || before.iter().zip(&after);
    let measured = Idle {
        what,
        nodes,
        complete: cluster.complete,
        met: cluster.met,
        // a thread that has ended is not counted any more
        cpu: pairs().map(|(before, after)| after.0.saturating_sub(before.0).as_secs_f64() * 1e3 / seconds).collect(),
        resident: memory.iter().map(|memory| memory.resident).collect(),
        proportional: memory.iter().map(|memory| memory.proportional).collect(),
        switches: pairs().map(|(before, after)| after.1.saturating_sub(before.1) as f64 / seconds).collect(),
    };
    cluster.stop().await;
    Ok(measured)
}

impl Idle {
    fn row(&self) -> Vec<Cell> {
        let mean = self.cpu.iter().sum::<f64>() / self.cpu.len() as f64;
        vec![
            words(self.what),
            count(self.nodes as u64),
            count(self.complete as u64),
            figure(self.met.as_secs_f64(), 2),
            figure(median(&self.cpu), 2),
            figure(mean, 2),
            figure(quantile(&self.cpu, 1.0), 2),
            figure(median(&self.resident), 2),
            figure(quantile(&self.resident, 1.0), 2),
            figure(median(&self.proportional), 2),
            figure(quantile(&self.proportional, 1.0), 2),
            figure(median(&self.switches), 0),
        ]
    }
}

/// Processes that were gone, by kill.
#[derive(Debug)]
struct Deaths {
    what: &'static str,
    nodes: usize,
    death: Death,
    /// Seconds until the first of the others had removed it.
    first: Vec<f64>,
    /// Seconds until the last had.
    last: Vec<f64>,
    /// Kills that some had not noticed in time.
    unnoticed: u64,
    /// Processes that had noticed and listed the victim all the same.
    listed: u64,
    /// Removals of processes that were not killed.
    others: u64,
}

async fn measure_deaths(kind: Kind, nodes: usize, death: Death, kills: usize) -> Result<Deaths, String> {
    let what = kind.name();
    let mut cluster = Cluster::start(kind, nodes, true).await?;
    if cluster.complete != nodes {
        return Err(format!("{} of them see all", cluster.complete));
    }
    let (first, last) = (Vec::new(), Vec::new());
    let mut deaths = Deaths { what, nodes, death, first, last, unnoticed: 0, listed: 0, others: 0 };
    let ports = cluster.ports();
    for victim in ports.iter().rev().cycle().take(kills).copied() {
        // at any point of the others' periods
        tokio::time::sleep(SETTLE + Duration::from_secs(1).mul_f64(rand::random())).await;
        deaths.others += failures(&cluster.said(), &BTreeSet::new());
        let at = match death {
            Death::Killed => cluster.kill(victim).await,
            Death::Silent => cluster.silence(victim).await,
        };
        let mut waited_for: BTreeSet<u16> = ports.iter().copied().filter(|&port| port != victim).collect();
        let (mut first, mut last, mut others) = (None, None, 0);
        let noticed = async {
            while !waited_for.is_empty() {
                let Some(notice) = cluster.next().await else { break };
                if notice.what == What::Failed && notice.about == victim {
                    waited_for.remove(&notice.by);
                    first = first.or(Some(notice.at));
                    last = Some(notice.at);
                } else if notice.what == What::Failed && notice.by != victim {
                    others += 1;
                }
            }
        };
        let noticed = tokio::time::timeout(PATIENCE, noticed).await.is_ok();
        deaths.others += others;
        let since = |then: Option<Instant>| then.map(|then| then.saturating_duration_since(at).as_secs_f64());
        if noticed {
            deaths.first.extend(since(first));
            deaths.last.extend(since(last));
            for &port in ports.iter().filter(|&&port| port != victim) {
                let view = cluster.view(port).await.unwrap_or_default();
                deaths.listed += u64::from(view.contains(&victim));
            }
        } else {
            deaths.unnoticed += 1;
        }
        if death == Death::Silent {
            cluster.kill(victim).await;
        }
        cluster.restart(victim).await?;
        for &port in &ports {
            if !cluster.sees(port, nodes, PATIENCE).await {
                return Err(format!("after {} kills not all see all again", deaths.last.len()));
            }
        }
    }
    cluster.stop().await;
    Ok(deaths)
}

impl Deaths {
    fn row(&self) -> Vec<Cell> {
        let mut row = vec![
            words(self.what),
            count(self.nodes as u64),
            words(self.death.name()),
            count(self.last.len() as u64 + self.unnoticed),
        ];
        let times = [median(&self.first), median(&self.last), quantile(&self.last, 0.9), quantile(&self.last, 1.0)];
        row.extend(times.map(|time| if time.is_nan() { none() } else { figure(time, 2) }));
        row.extend([self.unnoticed, self.listed, self.others].map(count));
        row
    }

    fn json(&self) -> serde_json::Value {
        json!({"what": self.what, "nodes": self.nodes, "how": self.death.name(), "first": self.first, "last": self.last})
    }
}

/// How many removals there are of processes other than these.
fn failures(said: &[support::cluster::Notice], but: &BTreeSet<u16>) -> u64 {
    said.iter().filter(|notice| notice.what == What::Failed && !but.contains(&notice.about)).count() as u64
}

/// Processes that were started again.
#[derive(Debug)]
struct Restarts {
    nodes: usize,
    /// Seconds from the kill until the new process listened.
    down: Vec<f64>,
    /// Restarts that took longer than a second.
    late: u64,
    /// Restarts within a second that somebody took for a failure.
    taken: u64,
    /// By how many processes, in all.
    events: u64,
    /// Removals of processes that were not restarted.
    others: u64,
}

async fn measure_restarts(nodes: usize, restarts: usize) -> Result<Restarts, String> {
    let mut cluster = Cluster::start(Kind::Chinwag, nodes, true).await?;
    if cluster.complete != nodes {
        return Err(format!("{} of them see all", cluster.complete));
    }
    let mut measured = Restarts { nodes, down: Vec::new(), late: 0, taken: 0, events: 0, others: 0 };
    let ports = cluster.ports();
    let victims: Vec<u16> = ports.iter().rev().cycle().take(restarts).copied().collect();
    // some of many at a time: what is said of one does not concern another
    for victims in victims.chunks((nodes / 10).max(1)) {
        tokio::time::sleep(SETTLE + Duration::from_secs(1).mul_f64(rand::random())).await;
        let restarted: BTreeSet<u16> = victims.iter().copied().collect();
        let mut in_time = BTreeSet::new();
        measured.others += failures(&cluster.said(), &BTreeSet::new());
        for &victim in victims {
            let at = cluster.kill(victim).await;
            tokio::time::sleep(DOWN.mul_f64(rand::random())).await;
            cluster.restart(victim).await?;
            let down = at.elapsed();
            measured.down.push(down.as_secs_f64());
            if down <= Duration::from_secs(1) {
                in_time.insert(victim);
            } else {
                measured.late += 1;
            }
        }
        tokio::time::sleep(WATCH).await;
        let said = cluster.said();
        let failed: Vec<u16> =
            said.iter().filter(|notice| notice.what == What::Failed).map(|notice| notice.about).collect();
        measured.taken += in_time.iter().filter(|victim| failed.contains(victim)).count() as u64;
        measured.others += failures(&said, &restarted);
        measured.events += failed.iter().filter(|about| in_time.contains(about)).count() as u64;
        for &port in &ports {
            if !cluster.sees(port, nodes, PATIENCE).await {
                return Err(format!("after {} restarts not all see all again", measured.down.len()));
            }
        }
    }
    cluster.stop().await;
    Ok(measured)
}

impl Restarts {
    fn row(&self) -> Vec<Cell> {
        vec![
            words(Kind::Chinwag.name()),
            count(self.nodes as u64),
            count(self.down.len() as u64),
            figure(median(&self.down), 2),
            figure(quantile(&self.down, 1.0), 2),
            count(self.late),
            count(self.taken),
            count(self.events),
            count(self.others),
        ]
    }
}
