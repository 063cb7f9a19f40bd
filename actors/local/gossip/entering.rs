//! Enters groups, and compares with peers that hold other rumors.

use actix::{Context, Handler, ResponseFuture};
use chinwag_protocol::rumor::Input;

use super::actor::Gossip;
use crate::messages::{Differs, Enter};

impl Handler<Enter> for Gossip {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Enter { gid, through }: Enter, context: &mut Context<Gossip>) -> ResponseFuture<()> {
        let has_machine = self.shared.groups.borrow().contains_key(&gid);
        if gid.is_all() && !has_machine && !self.state.settings.membership.on {
            // Without membership, `all` carries no rumors until a user gossips in it. It is entered then.
            return Box::pin(async {});
        }
        let entering = self.drive(&gid, context, |group, entry, state, out| {
            let through = through.filter(|through| through.nid() != state.nid).map(|through| {
                let nid = through.nid();
                group.note_external_sender(nid, through, &entry.members);
                nid
            });
            let entered = group.wait_for_entry();
            group.input(entry, state, Input::Enter { through }, out);
            Ok(entered)
        });
        Box::pin(async move {
            match entering {
                // The receiver fails if the group is deleted meanwhile.
                Ok((entered, _)) => drop(entered.await),
                Err(why) => log::debug!(target: "chinwag::gossip", "{gid} is not entered: {why}"),
            }
        })
    }
}

impl Handler<Differs> for Gossip {
    type Result = ();

    fn handle(&mut self, Differs { gid, peer }: Differs, context: &mut Context<Gossip>) {
        // A deleted group has nothing to compare.
        let _ = self.drive(&gid, context, |group, entry, state, out| {
            group.input(entry, state, Input::Differs { peer }, out);
            Ok(())
        });
    }
}
