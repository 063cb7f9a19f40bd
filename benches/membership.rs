//! Measures what membership costs idle processes, and how long processes take to join and to remove one that is gone.
//! Run it with `cargo bench --profile dist --bench membership`. Processor time and memory of other profiles are not
//! comparable.
//!
//! ```text
//! --joined     N processes start at once and join through the first: until all are up, until all see all, and the
//!              processor time that all of them use for it
//! --idle       N processes in one group. Once all see all and a pause has passed, the processor time that each uses
//!              in a window, and its memory at the end of the window
//! --killed     one is killed (SIGKILL), so that its port refuses connections: until the last of the others has removed it
//! --silent     one is suspended (SIGSTOP), so that its port accepts connections and nothing answers: the same
//! --restarted  one is killed and restarted on its address within a second, which is not a failure: how often another
//!              process reports it as failed
//! --serf       idle agents of serf, and one that is killed, if serf is installed (`CHINWAG_SERF`, or on the path)
//! ```
//!
//! Without any of these flags it measures all of them at several sizes, which takes more than an hour; `--nodes N`
//! selects one size. All settings are the defaults. The processes run on this machine and join through one of them.
//! There are exactly N, because the benchmark is not a member. It receives failures as a stream of events from each
//! process, and polls nothing while it measures.
//!
//! # Joined and idle
//!
//! The pause (`--quiet SECONDS`, default 65) is longer than the minute for which news of the start are kept and
//! compared. The window (`--window SECONDS`) is 30 s. The processor time is that of the scheduler (`schedstat`),
//! because one tick of `utime` and `stime` is more than a third of a millisecond per second in such a window. Memory is
//! resident (RSS), which counts the program's own text in each process, and proportional (PSS), which divides shared
//! memory among its processes. `switches` are context switches per second. `see all` counts the processes that saw all
//! N within two minutes of the first start, and `met` is how long that took. The nodes print their address when they
//! are up, and the last of them is up after `up`.
//!
//! # Killed and silent
//!
//! A time is from the signal until the event `failed` of a living process arrives here: `first` of the first process,
//! `last` of the last one. After each kill (`--kills K`, default 40) the victim restarts on its address and joins
//! through another process. The next kill waits until all see all, and for another 3 to 4 s. The victims take turns.
//! `unnoticed` are kills that some process had not noticed within a minute. `listed` counts processes that still listed
//! the victim in `all` after all had reported its failure. `others` counts removals of processes that were not killed.
//!
//! # Restarted
//!
//! In a large group a tenth of the nodes restarts before the group is observed. A node is down for up to 0.7 s and its
//! own start, and the group is then observed for 8 s, which is longer than a suspicion lasts with default settings.
//! `late` restarts took more than a second because the machine was busy. The others may rightly remove such a node, so
//! the events about it are not counted.
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
    cluster::{Change, Cluster, Kind},
    count, figure, main_with, median, none, number, proc, quantile, words,
};

/// The timeout for the removal of a process, and for its return.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest pause between the return of one victim and the end of the next.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a group is observed after a restart.
const WATCH: Duration = Duration::from_secs(8);

/// The longest time between the end of a process and its restart.
const DOWN: Duration = Duration::from_millis(700);

fn main() -> ExitCode {
    let about = "Change membership costs idle processes, and how long they take to remove one that is gone.";
    main_with(about, |common, options: Options| actix_web::rt::System::new().block_on(measure(common, options)))
}

/// The options of the benchmark.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    rows: Rows,
    nodes: Option<usize>,
    kills: Option<usize>,
    quiet: Option<u64>,
    window: Option<u64>,
}

/// The parts to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    joined: bool,
    idle: bool,
    killed: bool,
    silent: bool,
    restarted: bool,
    serf: bool,
}

impl Rows {
    const ALL: Rows = Rows { joined: true, idle: true, killed: true, silent: true, restarted: true, serf: true };
}

impl OwnOptions for Options {
    const USAGE: &'static str = "[--joined] [--idle] [--killed] [--silent] [--restarted] [--serf] [--nodes N] [--kills K] \
                                 [--quiet SECONDS] [--window SECONDS]";

    fn take(&mut self, option: &str, arguments: &mut Arguments<'_>) -> Result<bool, String> {
        match option {
            "--joined" => self.rows.joined = true,
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
        // the size that was asked for, or those that fit a quick run
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

    let (mut joined, mut idle, mut detection, mut restarts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if rows.joined {
        for nodes in sizes(&[10, 100, 300]) {
            joined.extend(tried(&mut report, "joined", nodes, measure_joined(nodes).await));
        }
    }
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
            // a kill takes serf more than ten seconds
            let (nodes, kills) = (sizes(&[100, 10])[0], kills.min(10));
            let measured = measure_deaths(serf, nodes, Death::Killed, kills).await;
            detection.extend(tried(&mut report, "serf, killed", nodes, measured));
        }
    }

    if !joined.is_empty() {
        report.line("processes that start at once and join through the first");
        let columns = ["what", "nodes", "see all", "up s", "met s", "CPU s"];
        report.table("joined", &columns, &joined.iter().map(Joined::row).collect::<Vec<_>>());
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

/// Reports on stderr that a part is done, because all parts take long, or in the report why a part could not be
/// measured.
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

/// Measurements of processes that join at once.
#[derive(Debug)]
struct Joined {
    nodes: usize,
    complete: usize,
    up: Duration,
    met: Duration,
    /// The processor time of all processes until they had met.
    cpu: Duration,
}

async fn measure_joined(nodes: usize) -> Result<Joined, String> {
    let cluster = Cluster::start(Kind::Chinwag, nodes, false).await?;
    let cpu = cluster.processes().into_iter().map(proc::cpu).sum();
    let joined = Joined { nodes, complete: cluster.complete, up: cluster.up, met: cluster.met, cpu };
    cluster.stop().await;
    Ok(joined)
}

impl Joined {
    fn row(&self) -> Vec<Cell> {
        vec![
            words(Kind::Chinwag.name()),
            count(self.nodes as u64),
            count(self.complete as u64),
            figure(self.up.as_secs_f64(), 2),
            figure(self.met.as_secs_f64(), 2),
            figure(self.cpu.as_secs_f64(), 2),
        ]
    }
}

/// Measurements of idle processes, by process.
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
        // the time of a thread that has ended is missing
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

/// Measurements of processes that end, by kill.
#[derive(Debug)]
struct Deaths {
    what: &'static str,
    nodes: usize,
    death: Death,
    /// Seconds until the first of the others had removed the victim.
    first: Vec<f64>,
    /// Seconds until the last of the others had removed the victim.
    last: Vec<f64>,
    /// The number of kills that some process had not noticed in time.
    unnoticed: u64,
    /// The number of processes that had reported the failure and still listed the victim.
    listed: u64,
    /// The number of removals of processes that were not killed.
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
        // at a random point of the others' periods
        tokio::time::sleep(SETTLE + Duration::from_secs(1).mul_f64(rand::random())).await;
        deaths.others += failures(&cluster.reports(), &BTreeSet::new());
        let at = match death {
            Death::Killed => cluster.kill(victim).await,
            Death::Silent => cluster.silence(victim).await,
        };
        let mut waited_for: BTreeSet<u16> = ports.iter().copied().filter(|&port| port != victim).collect();
        let (mut first, mut last, mut others) = (None, None, 0);
        let noticed = async {
            while !waited_for.is_empty() {
                let Some(report) = cluster.next().await else { break };
                if report.change == Change::Failed && report.about == victim {
                    waited_for.remove(&report.by);
                    first = first.or(Some(report.at));
                    last = Some(report.at);
                } else if report.change == Change::Failed && report.by != victim {
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

/// The number of removals of processes other than these.
fn failures(reports: &[support::cluster::MemberReport], but: &BTreeSet<u16>) -> u64 {
    reports.iter().filter(|report| report.change == Change::Failed && !but.contains(&report.about)).count() as u64
}

/// Measurements of restarts.
#[derive(Debug)]
struct Restarts {
    nodes: usize,
    /// Seconds from the kill until the new process listened.
    down: Vec<f64>,
    /// The number of restarts that took longer than a second.
    late: u64,
    /// The number of restarts within a second that some process reported as failures.
    taken: u64,
    /// The number of such reports.
    events: u64,
    /// The number of removals of processes that were not restarted.
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
    // several of many at a time, because the reports about one do not affect the others
    for victims in victims.chunks((nodes / 10).max(1)) {
        tokio::time::sleep(SETTLE + Duration::from_secs(1).mul_f64(rand::random())).await;
        let restarted: BTreeSet<u16> = victims.iter().copied().collect();
        let mut in_time = BTreeSet::new();
        measured.others += failures(&cluster.reports(), &BTreeSet::new());
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
        let reports = cluster.reports();
        let failed: Vec<u16> =
            reports.iter().filter(|report| report.change == Change::Failed).map(|report| report.about).collect();
        measured.taken += in_time.iter().filter(|victim| failed.contains(victim)).count() as u64;
        measured.others += failures(&reports, &restarted);
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
