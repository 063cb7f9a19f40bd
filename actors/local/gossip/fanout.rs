//! The fan-out of a group that computes it by a function.

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::Gid,
    value::Value,
};

use super::options::{FanoutOption, Options};
use crate::{
    caller::Caller,
    messages::{Configuration, SetFanout},
};

/// Calls the group's fan-out function, if it has one, with the SIDs of all members (this node included), and sets the result
/// as the group's fan-out.
pub(crate) async fn compute_fanout(caller: &Caller, gid: &Gid) -> Result<(), CallError> {
    let doors = caller.doors();
    let entry = doors.groups.deliver(Configuration(gid.clone())).await??;
    let FanoutOption::Computed(function) = Options::read(&entry.config)?.fanout else { return Ok(()) };
    let sids: Vec<Value> = entry.members.iter().map(|(sid, _)| Value::from(sid.as_str())).collect();
    let members = sids.len();
    let answer = caller.apply(function, vec![Value::from(sids)]).await?.into_value();
    let bad = || {
        let shown = answer.as_f64().map_or_else(|| answer.type_name().to_owned(), |number| number.to_string());
        CallError::new(ErrorKind::BadAnswer, format!("the group's subset answered {shown}, not a number of peers"))
    };
    let peers = answer.as_f64().filter(|peers| *peers >= 0.0).ok_or_else(bad)?;
    let fanout = SetFanout { gid: gid.clone(), members, peers: peers.min(members as f64).ceil() as usize };
    doors.gossip.deliver(fanout).await
}
