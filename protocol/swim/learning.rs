//! News and signs of life: how they change the view, and what this node says in return.

use std::time::Duration;

use rand::Rng;

use super::interface::{MemberEvent, Output};
use super::machine::{LATEST_OWN_LIFE, Swim, second};
use super::standing::{Claim, Incarnation, Member, Status, Update};
use super::statement::Statement;
use crate::peer_id::PeerId;

/// The least time between two later lives that a node takes because another life was stated for its address. A guess: a
/// node whose clock was set back does so once, but two processes with one address would do so endlessly.
const RAISE_PAUSE: Duration = Duration::from_secs(60);

impl<P: PeerId> Swim<P> {
    /// Merges a piece of news into the view. Returns whether it was new.
    pub(super) fn learn<R: Rng + ?Sized>(&mut self, now: Duration, update: Update<P>, chance: &mut R) -> bool {
        if update.peer == self.me {
            // This node's clock may have been set back by years, so it does not limit this node's own lives.
            return update.incarnation.life <= LATEST_OWN_LIFE && self.learn_of_self(now, update);
        }
        if update.incarnation.life > self.latest_life(now) {
            return false;
        }
        let mut news = self.merge(now, update);
        if update.claim == Claim::Suspect && self.count_accuser(now, update) {
            news = true;
            self.bear_witness(now, update.peer, chance);
            self.judge(now, update.peer);
        }
        news
    }

    /// Merges a claim into what is known of a peer, with all effects except the counting of accusers.
    pub(super) fn merge(&mut self, now: Duration, update: Update<P>) -> bool {
        let Update { peer, incarnation, claim, by } = update;
        let (standing, before, life, at) = match self.position(&peer) {
            Ok(at) => {
                let standing = self.standing(at);
                let member = &mut self.members[at];
                let (before, life) = (member.status(), member.incarnation.life);
                if before == Status::Expelled || !member.merge(incarnation, claim) {
                    return false;
                }
                (standing, Some(before), life, at)
            }
            Err(_) if self.members.len() >= self.config.members as usize => {
                self.turned_away += 1;
                return false;
            }
            Err(at) => {
                self.members.insert(at, Member::reported(peer, incarnation, claim));
                (None, None, incarnation.life, at)
            }
        };
        let member = &mut self.members[at];
        if member.incarnation.life != life {
            // Another process answers there now. It knows no peers, unless it has joined by itself.
            member.answered = false;
            member.merge &= life == 0;
            member.welcome = life > 0 && before.is_some_and(|before| before.is_present() || before == Status::Failed);
        }
        let (after, incarnation, claim) = (member.status(), member.incarnation, member.claim);
        self.changed = now;
        self.count(standing, at);
        self.tell_application(peer, incarnation, by, before, after, incarnation.life != life);
        if self
            .suspicions
            .get(&peer)
            .is_some_and(|suspicion| suspicion.incarnation != incarnation || claim != Claim::Suspect)
        {
            self.suspicions.remove(&peer);
        }
        if matches!(after, Status::Failed | Status::Left) {
            self.members[at].second = second(now);
            self.forget_some();
            self.keep_reconnecting(now);
        }
        true
    }

    /// Reports a change of status as events.
    fn tell_application(
        &mut self,
        peer: P,
        incarnation: Incarnation,
        by: P,
        before: Option<Status>,
        after: Status,
        restarted: bool,
    ) {
        use Status::{Alive, Expelled, Failed, Left, Pending, Suspect, Unreachable};
        let joined = MemberEvent::Joined { peer, incarnation };
        let rejoined = MemberEvent::Rejoined { peer, incarnation };
        let suspected = MemberEvent::Suspected { peer, incarnation, by };
        let events: [Option<MemberEvent<P>>; 2] = match (before, after) {
            (_, Pending | Unreachable | Expelled) | (Some(Expelled), _) => [None, None],
            (None | Some(Pending | Unreachable | Left), Alive) => [Some(joined), None],
            (None | Some(Pending | Unreachable | Left), Suspect) => [Some(joined), Some(suspected)],
            // The loss of a peer that was never known is no news, nor is the farewell of one that is considered dead.
            (None | Some(Failed | Left), Failed | Left) => [None, None],
            (Some(Alive | Suspect), Alive) if restarted => [Some(rejoined), None],
            (Some(Alive | Suspect), Suspect) if restarted => [Some(rejoined), Some(suspected)],
            (Some(Alive), Alive) | (Some(Suspect), Suspect) => [None, None],
            (Some(Alive), Suspect) => [Some(suspected), None],
            (Some(Suspect), Alive) => [Some(MemberEvent::Refuted { peer, incarnation }), None],
            (Some(Failed), Alive) => [Some(rejoined), None],
            (Some(Failed), Suspect) => [Some(rejoined), Some(suspected)],
            (Some(Pending | Unreachable | Alive | Suspect), Failed) => {
                [Some(MemberEvent::Failed { peer, incarnation, by }), None]
            }
            (Some(Pending | Unreachable | Alive | Suspect), Left) => {
                [Some(MemberEvent::Left { peer, incarnation }), None]
            }
        };
        self.outbox.extend(events.into_iter().flatten().map(Output::Event));
    }

    /// Handles news about this node itself, and contradicts it unless it is true or old.
    fn learn_of_self(&mut self, now: Duration, update: Update<P>) -> bool {
        let contradicted = match update.claim {
            Claim::Alive => update.incarnation > self.incarnation,
            Claim::Suspect | Claim::Dead | Claim::Left => update.incarnation >= self.incarnation,
        };
        if !self.running || !contradicted {
            return false;
        }
        if update.incarnation.life != self.incarnation.life {
            self.outbox.push(Output::Event(MemberEvent::AddressTaken { incarnation: update.incarnation }));
            // An earlier start of this node with a clock that was ahead has one last life. Two processes with one
            // address answer each later life with another.
            if self.raised.is_some_and(|raised| now < raised + RAISE_PAUSE) {
                return false;
            }
            self.raised = Some(now);
        }
        self.change_incarnation(now, self.incarnation.above(update.incarnation));
        match update.claim {
            Claim::Alive | Claim::Left => {}
            // Lifeguard, IV-A: a node that has to refute probably answers too slowly.
            Claim::Suspect => self.worsen(1),
            // Nodes that removed this node may no longer accept its gossip, so it tells one of them directly.
            Claim::Dead if update.by != self.me => {
                let (by, peer, incarnation) = (update.by, self.me, self.incarnation);
                let update = Update { peer, incarnation, claim: Claim::Alive, by: peer };
                self.tell(by, update);
            }
            Claim::Dead => {}
        }
        true
    }

    /// Sends a peer a piece of news, unless the peer is passive.
    pub(super) fn tell(&mut self, peer: P, update: Update<P>) {
        let passive = self.find(&peer).is_none_or(|member| member.incarnation.is_passive());
        if self.running && !passive {
            self.outbox.push(Output::Tell { peer, update, timeout: self.whole_timeout() });
        }
    }

    /// Handles a request from `peer`, or, if `answers`, an answer to a request of this node.
    pub(super) fn heard(&mut self, now: Duration, peer: P, stated: &Statement, answers: bool) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        if answers {
            self.trust(now, stated);
        }
        let (before, life) = (self.members[at].status(), self.members[at].incarnation.life);
        if before == Status::Expelled || stated.incarnation.life > self.latest_life(now) {
            return;
        }
        if stated.cluster.is_some() && stated.cluster == self.cluster.id() {
            self.members[at].merge = false;
        }
        self.withdraw(&peer);
        if stated.is_passive() {
            self.speak_for(now, peer);
        } else {
            let update = Update { peer, incarnation: stated.incarnation, claim: Claim::Alive, by: self.me };
            let news = self.merge(now, update);
            let restarted = news && life > 0 && stated.incarnation.life > life && before.is_known();
            match (before, self.status(&peer)) {
                // The others learn from this node what it is the first to hear: that a peer that was put is alive, has
                // returned, or was restarted. A request is no news, because another node will ask its sender: otherwise
                // a peer that sends many requests would cause as many rumors.
                (Status::Pending | Status::Unreachable, Some(Status::Alive)) if news && answers => {
                    self.broadcast(update);
                }
                (Status::Failed | Status::Left, Some(Status::Alive)) if news => self.broadcast(update),
                (Status::Alive | Status::Suspect, Some(Status::Alive)) if restarted => self.broadcast(update),
                // The peer does not know that it was removed.
                (_, Some(Status::Failed)) => self.remind_removed(now, peer),
                _ => {}
            }
            // The peer may have joined by itself, and then needs no welcome.
            if news && self.find(&peer).is_some_and(|member| member.welcome) {
                self.probe(now, peer, false);
            }
        }
        if answers {
            self.count_answer(now, peer);
        }
    }

    /// Notes that a member has answered this node, so that it has a vote from now on.
    pub(super) fn count_answer(&mut self, now: Duration, peer: P) {
        let Ok(at) = self.position(&peer) else {
            return;
        };
        let member = &mut self.members[at];
        if member.status().is_known() && !std::mem::replace(&mut member.answered, true) {
            self.admit_votes(now, peer);
        }
    }

    /// Handles a sign of life of a passive peer. The peer cannot refute, so this node does that for it.
    fn speak_for(&mut self, now: Duration, peer: P) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let before = member.status();
        let contradict = matches!(before, Status::Suspect | Status::Failed);
        let incarnation = if contradict { member.incarnation.next() } else { member.incarnation };
        let update = Update { peer, incarnation, claim: Claim::Alive, by: self.me };
        let first = matches!(before, Status::Pending | Status::Unreachable);
        if before != Status::Left && self.merge(now, update) && (contradict || first) {
            self.broadcast(update);
        }
    }

    /// Handles an answer without a statement.
    pub(super) fn answered<R: Rng + ?Sized>(&mut self, now: Duration, peer: P, chance: &mut R) {
        match self.status(&peer) {
            // A probe shows whether the peer is passive.
            Some(Status::Pending | Status::Unreachable) => self.ask_soon(now, peer, chance),
            Some(_) => self.heard_behind(now, peer, true),
            None => {}
        }
    }
}
