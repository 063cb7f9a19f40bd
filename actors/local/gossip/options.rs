//! The gossip options in a group's configuration.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `subset` | the fan-out: how many peers a new rumor is sent to first. A number, `log`, `log+N`, `sqrt`, `all`, or a function of the array of the members' SIDs | `log` |
//! | `tick` | milliseconds between two comparisons with a random peer, at least 1 | 200 |
//! | `requestTimeout` | milliseconds after which an unanswered request counts as lost, at least 1 | 2,000 |
//! | `hopLimit` | how many times a rumor is relayed, at least 1 | no limit |
//! | `eagerBytes` | payloads up to this size are pushed where larger ones are offered | 1,024 |
//! | `replay` | whether newcomers perform every rumor that is still retained, not only those sent after they entered | `false` |
//! | `retainedCount`, `retainedAge` | how many rumors are retained for peers that lack them, and for how many milliseconds | 4,096, 600,000 |

use std::{sync::Arc, time::Duration};

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    fanout::Fanout,
    group::GroupConfig,
    rumor::GossipConfig,
    value::{Function, Value},
};

/// The gossip options in a group's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub fanout: FanoutOption,
    pub config: Arc<GossipConfig>,
    /// How long a peer may take to answer. A lost request is noticed after the same time.
    pub request_timeout: Duration,
}

/// The default request timeout in milliseconds. A guess: half of a call's default deadline, so that the next peer can be asked
/// within that deadline.
const REQUEST_TIMEOUT: f64 = 2_000.0;

/// How many peers a new rumor is sent to first.
#[derive(Clone, Debug)]
pub(crate) enum FanoutOption {
    Fixed(Fanout),
    /// A function of the members. It is called for each send, and when the number of members changes.
    Computed(Function),
}

impl Options {
    /// Reads the options of gossip and ignores the keys of other services.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], with the key and the expected value.
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
        config.replay = boolean(group, "replay")?;
        let timeout = number(group, "requestTimeout", 1.0, 600_000.0)?.unwrap_or(REQUEST_TIMEOUT);
        let request_timeout = Duration::from_secs_f64(timeout / 1_000.0);
        Ok(Options { fanout: fanout(group)?, config: Arc::new(config), request_timeout })
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

fn boolean(group: &GroupConfig, key: &str) -> Result<bool, CallError> {
    match group.options.get(key) {
        None | Some(Value::Undefined | Value::Null) => Ok(false),
        Some(Value::Boolean(value)) => Ok(*value),
        Some(other) => Err(refused(key, format!("expected a boolean, got {}", other.type_name()))),
    }
}

fn fanout(group: &GroupConfig) -> Result<FanoutOption, CallError> {
    let parse = |text: &str| text.parse().map(FanoutOption::Fixed).map_err(|why| refused("subset", why));
    match group.options.get("subset") {
        None | Some(Value::Undefined | Value::Null) => Ok(FanoutOption::Fixed(Fanout::Log)),
        Some(Value::Function(function)) => Ok(FanoutOption::Computed(function.clone())),
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
    fn options_are_read_from_the_configuration() {
        assert_eq!(read("tick", 50).unwrap().config.tick, Duration::from_millis(50));
        assert_eq!(read("requestTimeout", 4).unwrap().request_timeout, Duration::from_millis(4));
        assert_eq!(read("hopLimit", 3).unwrap().config.hop_limit, Some(3));
        assert_eq!(read("eagerBytes", 0).unwrap().config.eager_bytes, 0);
        assert!(read("replay", true).unwrap().config.replay && !read("tick", 50).unwrap().config.replay);
        assert!(matches!(read("subset", "log+2").unwrap().fanout, FanoutOption::Fixed(Fanout::LogPlus(2))));
        assert!(matches!(read("subset", 3).unwrap().fanout, FanoutOption::Fixed(Fanout::Fixed(_))));
        assert!(matches!(read("subset", Function::new("l => 3")).unwrap().fanout, FanoutOption::Computed(_)));
        assert!(matches!(read("of another service", 3).unwrap().fanout, FanoutOption::Fixed(Fanout::Log)));
    }

    #[test]
    fn an_invalid_option_is_rejected_with_its_key() {
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
