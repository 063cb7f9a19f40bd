//! The log of this program, which it writes to standard error without waiting for a reader.

use std::{backtrace::BacktraceStatus, io::Write, time::SystemTime};

use chinwag::Output;
use log::{Level, Log, Metadata, Record};

/// The default filter of a node: changes of membership, and warnings.
pub(super) const NODE: &str = "warn,chinwag=info";

/// The default filter of simulations, without the many changes of membership.
pub(super) const SIMULATION: &str = "warn,chinwag::members=off";

/// Starts the log. `RUST_LOG` replaces the default filter. Each line names its module.
pub(super) fn start(output: Output, default: &str) {
    let environment = env_logger::Env::default().default_filter_or(default);
    let logger = env_logger::Builder::from_env(environment)
        .format(|out, record| {
            let part = record.target().rsplit("::").next().unwrap_or_default();
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            writeln!(out, "{now} {} [{part}] {}", record.level(), record.args())
        })
        .target(env_logger::Target::Pipe(Box::new(output)))
        .build();
    log::set_max_level(logger.filter());
    // the program starts its log only once
    let _ = log::set_boxed_logger(Box::new(Demoting(logger)));
    // The default hook writes to standard error directly. It is also too loud, because a panicking actor is replaced.
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        log::error!(target: "chinwag::panic", "{panic}{trace}");
    }));
}

/// Lowers the level of what the HTTP server logs about a connection. A malformed request is not an error of this node,
/// and a client must not be able to fill the log.
struct Demoting<L>(L);

/// The crate of the HTTP server.
const HTTP: &str = "actix_http";

fn level(metadata: &Metadata<'_>) -> Level {
    if metadata.target().starts_with(HTTP) { metadata.level().max(Level::Debug) } else { metadata.level() }
}

impl<L: Log> Log for Demoting<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(&Metadata::builder().level(level(metadata)).target(metadata.target()).build())
    }

    fn log(&self, record: &Record<'_>) {
        let demoted = Record::builder()
            .args(*record.args())
            .level(level(record.metadata()))
            .target(record.target())
            .module_path(record.module_path())
            .file(record.file())
            .line(record.line())
            .build();
        self.0.log(&demoted);
    }

    fn flush(&self) {
        self.0.flush();
    }
}
