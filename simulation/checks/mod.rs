//! The properties that must hold after a network has healed.

mod future;
mod groups;
mod load;
mod messages;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(super) use messages::PADDING;

use super::{Net, history::History, scenario::Scenario};
use future::CheckFuture;
use groups::{joins, mixed_clusters, puts, views};
use load::{exceeded_limits, unfinished_work, unsent_requests};
use messages::{duplicates, missing_messages, unperformed_own_messages};

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What the check found.
    pub what: String,
}

/// A property that must hold.
#[non_exhaustive]
pub struct Check {
    /// The name of the check.
    pub name: &'static str,
    /// Whether the property must hold in a scenario.
    pub applies: fn(&Scenario) -> bool,
    /// Whether a failure is final, so that waiting cannot help.
    pub is_final: bool,
    find: for<'a> fn(&'a Net, &'a History) -> CheckFuture<'a>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// All checks.
pub const CHECKS: [Check; 10] = [
    Check { name: "no node performs a message twice in one life", applies: |_| true, is_final: true, find: duplicates },
    Check { name: "no limit is exceeded", applies: |_| true, is_final: true, find: exceeded_limits },
    Check {
        name: "the sender of a message performs it",
        applies: |_| true,
        is_final: false,
        find: unperformed_own_messages,
    },
    Check {
        name: "connected nodes have heard the same messages",
        applies: |scenario| scenario.retained.is_none(),
        is_final: false,
        find: missing_messages,
    },
    Check {
        name: "each view lists the known nodes without the dead",
        applies: |scenario| scenario.watch.is_some(),
        is_final: false,
        find: views,
    },
    Check {
        name: "each group lists the members that were put without the dead",
        applies: |scenario| scenario.has_puts(),
        is_final: false,
        find: puts,
    },
    Check {
        name: "joined nodes know all members and are known to them",
        applies: |scenario| scenario.has_joins(),
        is_final: false,
        find: joins,
    },
    Check {
        name: "clusters stay separate unless they are merged",
        applies: |scenario| !scenario.beside.is_empty(),
        is_final: false,
        find: mixed_clusters,
    },
    Check { name: "nothing is under way any more", applies: |_| true, is_final: false, find: unfinished_work },
    Check {
        name: "nothing is left to send",
        // a node offers a message for as long as it holds it, also to nodes that have dropped it
        applies: |scenario| scenario.retained.is_none(),
        is_final: false,
        find: unsent_requests,
    },
];

/// The results of checks.
#[derive(Default)]
pub(super) struct CheckResults {
    pub checked: u64,
    pub violations: Vec<Violation>,
    /// Whether a final check has failed.
    pub failed_finally: bool,
}

impl CheckResults {
    async fn one(&mut self, check: &Check, net: &Net, history: &History) -> Option<Violation> {
        self.checked += 1;
        let what = (check.find)(net, history).await?;
        self.failed_finally |= check.is_final;
        Some(Violation { check: check.name, what })
    }

    /// Whether all checks hold. It stops at the first that does not.
    pub(crate) async fn holds(&mut self, checks: &[&Check], net: &Net, history: &History) -> bool {
        for check in checks {
            if self.one(check, net, history).await.is_some() {
                return false;
            }
        }
        true
    }

    /// Makes all checks, and keeps the violations.
    pub(crate) async fn all<'a>(&mut self, checks: impl Iterator<Item = &'a &'a Check>, net: &Net, history: &History) {
        for check in checks {
            let violation = self.one(check, net, history).await;
            self.violations.extend(violation);
        }
    }
}
