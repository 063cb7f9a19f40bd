//! How a group gossips, as its configuration says.
//!
//! | key | | default |
//! |---|---|---|
//! | `subset` | how many peers a rumor is first sent to: a number, `log`, `log+N`, `sqrt`, `all`, or a function of the array of the members' SIDs | `log` |
//! | `tick` | milliseconds between two comparisons with a random peer, from 1 | 200 |
//! | `requestTimeout` | milliseconds after which a request that was not answered counts as lost, from 1 | 2,000 |
//! | `hopLimit` | how many times a rumor is handed on, from 1 | no limit |
//! | `eagerBytes` | payloads up to so many bytes are pushed where larger ones are offered | 1,024 |
//! | `replay` | whether newcomers perform every rumor that is still held, not only those sent after they came | `false` |
//! | `retainedCount`, `retainedAge` | how many rumors are held for those who lack them, and for how many milliseconds | 4,096, 600,000 |

use std::{sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    fanout::Fanout,
    group::GroupConfig,
    rumor::GossipConfig,
    value::{Function, Value},
};

/// What a group's configuration says of its gossip.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub fanout: Width,
    pub config: Arc<GossipConfig>,
    /// How long a peer may take to answer: as long as it takes a lost request to be called lost.
    pub request_timeout: Duration,
}

/// Half of what a call may take, so that the next peer is asked within the time of whoever waits. A guess.
const REQUEST_TIMEOUT: f64 = 2_000.0;

/// How many peers a rumor is first sent to.
#[derive(Clone, Debug)]
pub(crate) enum Width {
    Fixed(Fanout),
    /// A function of the members, called anew whenever they have changed.
    Computed(Function),
}

impl Options {
    /// Reads them; keys of other services are left alone.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], naming the key and what it takes.
    pub(crate) fn read(group: &GroupConfig) -> Result<Options, CallError> {
        let mut config = GossipConfig::default();
        if let Some(tick) = number(group, "tick", 1.0, 86_400_000.0)? {
            config.tick = Duration::from_secs_f64(tick / 1_000.0);
        }
        if let Some(limit) = number(group, "hopLimit", 1.0, f64::from(u32::MAX))? {
            config.hop_limit = Some(limit as u32);
        }
        if let Some(bytes) = number(group, "eagerBytes", 0.0, f64::from(u32::MAX))? {
            config.eager_bytes = bytes as usize;
        }
        if let Some(count) = number(group, "retainedCount", 1.0, 65_536.0)? {
            config.retained_count = count as usize;
        }
        if let Some(age) = number(group, "retainedAge", 1.0, 86_400_000.0)? {
            config.retained_age = Duration::from_secs_f64(age / 1_000.0).max(config.tick);
        }
        config.replay = flag(group, "replay")?;
        let timeout = number(group, "requestTimeout", 1.0, 600_000.0)?.unwrap_or(REQUEST_TIMEOUT);
        let request_timeout = Duration::from_secs_f64(timeout / 1_000.0);
        Ok(Options { fanout: width(group)?, config: Arc::new(config), request_timeout })
    }
}

fn refused(key: &str, why: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::BadArgument, format!("the group's {key}: {why}"))
}

fn number(group: &GroupConfig, key: &str, least: f64, most: f64) -> Result<Option<f64>, CallError> {
    match group.options.get(key) {
        None | Some(Value::Undefined | Value::Null) => Ok(None),
        Some(Value::Number(number)) if (least..=most).contains(number) => Ok(Some(*number)),
        Some(Value::Number(number)) => Err(refused(key, format!("{number} is not from {least} to {most}"))),
        Some(other) => Err(refused(key, format!("expected a number, got {}", other.type_name()))),
    }
}

fn flag(group: &GroupConfig, key: &str) -> Result<bool, CallError> {
    match group.options.get(key) {
        None | Some(Value::Undefined | Value::Null) => Ok(false),
        Some(Value::Boolean(is)) => Ok(*is),
        Some(other) => Err(refused(key, format!("expected a boolean, got {}", other.type_name()))),
    }
}

fn width(group: &GroupConfig) -> Result<Width, CallError> {
    let parse = |text: &str| text.parse().map(Width::Fixed).map_err(|why| refused("subset", why));
    match group.options.get("subset") {
        None | Some(Value::Undefined | Value::Null) => Ok(Width::Fixed(Fanout::Log)),
        Some(Value::Function(function)) => Ok(Width::Computed(function.clone())),
        Some(Value::String(text)) => parse(text),
        Some(Value::Number(number)) => parse(&number.to_string()),
        Some(other) => {
            Err(refused("subset", format!("expected a number, a name or a function, got {}", other.type_name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use chinwag_protocol::identity::Gid;

    use super::*;

    fn read(key: &str, value: impl Into<Value>) -> Result<Options, CallError> {
        Options::read(&GroupConfig::new(Gid::all()).with(key, value))
    }

    #[test]
    fn a_groups_configuration_is_read() {
        assert_eq!(read("tick", 50).unwrap().config.tick, Duration::from_millis(50));
        assert_eq!(read("requestTimeout", 4).unwrap().request_timeout, Duration::from_millis(4));
        assert_eq!(read("hopLimit", 3).unwrap().config.hop_limit, Some(3));
        assert_eq!(read("eagerBytes", 0).unwrap().config.eager_bytes, 0);
        assert!(read("replay", true).unwrap().config.replay && !read("tick", 50).unwrap().config.replay);
        assert!(matches!(read("subset", "log+2").unwrap().fanout, Width::Fixed(Fanout::LogPlus(2))));
        assert!(matches!(read("subset", 3).unwrap().fanout, Width::Fixed(Fanout::Fixed(_))));
        assert!(matches!(read("subset", Function::new("l => 3")).unwrap().fanout, Width::Computed(_)));
        assert!(matches!(read("of another service", 3).unwrap().fanout, Width::Fixed(Fanout::Log)));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (key, value) in [
            ("tick", Value::from(0)),
            ("tick", Value::from("x")),
            ("hopLimit", Value::from(0)),
            ("eagerBytes", Value::from(-1)),
            ("retainedCount", Value::from(f64::NAN)),
            ("replay", Value::from("yes")),
            ("subset", Value::from(0)),
            ("subset", Value::from(1.5)),
            ("subset", Value::from("many")),
            ("subset", Value::from(true)),
        ] {
            let error = read(key, value).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument);
            assert!(error.message.contains(key), "{error}");
        }
    }
}
