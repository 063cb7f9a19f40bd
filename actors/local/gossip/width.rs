//! The fan-out of a group that computes it by a function.

use chinwag_protocol::{
    call::{CallError, ErrorKind},
    identity::Gid,
    value::Value,
};

use super::options::{Options, Width};
use crate::{
    caller::Caller,
    messages::{Configuration, SetFanout},
};

/// Has a group's own function say how many other members a send contacts, where it has one. It is given the members'
/// SIDs, this node's included.
pub(crate) async fn ask_width(caller: &Caller, gid: &Gid) -> Result<(), CallError> {
    let doors = caller.doors();
    let entry = doors.groups.deliver(Configuration(gid.clone())).await??;
    let Width::Computed(function) = Options::read(&entry.config)?.fanout else { return Ok(()) };
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
