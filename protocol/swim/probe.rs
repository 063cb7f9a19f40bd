//! Probing: which peer, how, and what the outcome says about the peer and about this node.
//!
//! In seven of eight periods a node probes one of its *neighbours*, the next members after it in the order of their
//! ids, over a connection that it keeps open. In the eighth it probes any member, in turn. A few nodes therefore watch
//! each member all the time, at the cost of a small request on an open connection, and notice at once when the
//! connection closes. The probes in turn notice the failure of a whole neighbourhood.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::flight::Flight;
use super::interface::{Outcome, Output, Timer, Token};
use super::machine::Swim;
use super::standing::{Member, Status};
use super::statement::{Relation, Statement};
use crate::peer_id::PeerId;

/// The bits of a token that number the requests of a probe: 0 is the first request, then come the relays, then further
/// direct requests. The upper bits are those of the probe.
const REQUESTS: u32 = 8;

/// A timer that is late by more than this part of [`stall_tolerance`](super::SwimConfig::stall_tolerance), a fifth, is
/// a sign that this node is slow. A guess: on an idle machine no timer is that late, and if a hundred processes start
/// at once on two cores, most are.
const SLOW: u32 = 5;

/// How much an answer that comes after relays were asked worsens local health. A guess: an answer in time improves it
/// by one, so that one probe in three may be late.
const LATE: u32 = 2;

/// One of this many periods probes any member in turn; the others probe a neighbour.
const ROUND: u64 = 8;

impl<P: PeerId> Swim<P> {
    /// Returns the time that a scheduled probe may take at the present health.
    pub(super) fn whole_timeout(&self) -> Duration {
        (self.config.probe_timeout + self.config.relay_timeout) * (1 + self.health)
    }

    /// Lifeguard, IV-A: slower when there is reason to think that the fault is here.
    pub(super) fn worsen(&mut self, by: u32) {
        self.health = self.health.saturating_add(by).min(self.config.health_max);
    }

    pub(super) fn begin_period<R: Rng + ?Sized>(&mut self, now: Duration, number: u64, chance: &mut R) {
        if !self.is_current(number) {
            return;
        }
        self.set_period(now + self.config.probe_interval * (1 + self.health));
        self.walked = 0;
        // The transport reports on every request. A missing report has no effect.
        let tolerance = self.config.stall_tolerance;
        self.flights.retain(|_, flight| now <= flight.due + tolerance);
        self.draw_cluster_id(now, chance);
        let neighbours = self.neighbours();
        let turn = self.period();
        let everybody = self.known <= neighbours.len();
        let next = match turn.checked_rem(neighbours.len() as u64) {
            Some(_) if !everybody && !turn.is_multiple_of(ROUND) => {
                // The last period of each round probes any member, so it does not advance the turns of the neighbours.
                let turn = turn - turn / ROUND;
                neighbours.get((turn % neighbours.len() as u64) as usize).copied()
            }
            _ => self.next_in_turn(chance),
        };
        if let Some(peer) = next {
            self.probe(now, peer, true);
        }
    }

    /// Probes the next neighbour in the same period, because nobody listens at the address of the last one, which this
    /// node knows from others alone. Otherwise a few hundred fictitious members would take up all probes for minutes.
    fn walk_on(&mut self, now: Duration) {
        if self.walked >= self.config.asks {
            return;
        }
        self.walked += 1;
        let flights = &self.flights;
        let free = |peer: &P| flights.values().all(|flight| flight.peer != *peer);
        if let Some(next) = self.neighbours().into_iter().find(free) {
            self.probe(now, next, true);
        }
    }

    /// Returns whether this node accuses a member that it knows from others alone.
    fn doubts(&self, member: &Member<P>) -> bool {
        let accused = self.suspicions.get(&member.peer).is_some_and(|suspicion| suspicion.is_held_by(&self.me));
        accused && !member.answered
    }

    /// Returns the members to which this node keeps a connection: the next ones in the order of their ids.
    pub(super) fn neighbours(&self) -> Vec<P> {
        let wanted = self.config.neighbours as usize;
        let here = self.position(&self.me).unwrap_or_else(|at| at);
        let (before, after) = self.members.split_at(here);
        let round = after.iter().chain(before).filter(|member| member.status().is_known() && !self.doubts(member));
        round.take(wanted).map(|member| member.peer).collect()
    }

    /// Returns the next member in turn. SWIM, 4.3: each pass visits every member once, in a random order. A member that
    /// joins is visited in the present pass. Members are drawn one by one, so that no second list is needed.
    fn next_in_turn<R: Rng + ?Sized>(&mut self, chance: &mut R) -> Option<P> {
        let waiting = self.members.iter().filter(|member| member.status().is_known() && !member.visited);
        let mut count = waiting.count();
        if count == 0 {
            for member in &mut self.members {
                member.visited = false;
            }
            count = self.known;
        }
        if count == 0 {
            return None;
        }
        let chosen = chance.random_range(0..count);
        let mut waiting = self.members.iter_mut().filter(|member| member.status().is_known() && !member.visited);
        let member = waiting.nth(chosen)?;
        member.visited = true;
        Some(member.peer)
    }

    /// Probes a peer at once whose kept connection to this node has closed, because that happens when a process ends.
    pub(super) fn closed(&mut self, now: Duration, peer: P) {
        if self.is_member(&peer) {
            self.probe(now, peer, false);
        }
    }

    /// Begins a probe, unless one of the same peer is under way.
    pub(super) fn probe(&mut self, now: Duration, peer: P, scheduled: bool) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        let (incarnation, welcome) = (member.incarnation, member.welcome);
        if !self.running || self.flights.values().any(|flight| flight.peer == peer) {
            return;
        }
        self.probes += 1;
        let probe = self.probes;
        let timeout = self.whole_timeout();
        let second_stage = now + self.config.probe_timeout * (1 + self.health);
        self.flights.insert(
            probe,
            Flight {
                peer,
                incarnation,
                scheduled,
                due: now + timeout,
                second_stage,
                asked: false,
                relays: Vec::new(),
                open: 1,
                silent: 0,
                refused: false,
                welcome,
                void: false,
            },
        );
        let token = Token(probe << REQUESTS);
        self.request(token, peer, timeout);
        self.set_timer(second_stage, Timer::Relays { token });
    }

    fn request(&mut self, token: Token, peer: P, timeout: Duration) {
        let welcome = self.find(&peer).is_some_and(|member| member.welcome);
        let merge = self.asks_to_merge(&peer);
        let kept = self.neighbours().contains(&peer);
        let about = self.held_against(&peer);
        self.outbox.push(Output::Probe { token, peer, timeout, kept, merge, welcome, about });
    }

    /// Begins the second stage: k relays, and direct requests in place of missing relays. A late answer to the first
    /// request still counts.
    pub(super) fn ask_relays<R: Rng + ?Sized>(&mut self, now: Duration, token: Token, chance: &mut R) {
        let probe = token.0 >> REQUESTS;
        let Some(flight) = self.flights.get(&probe) else {
            return;
        };
        if flight.asked {
            return;
        }
        let (peer, refused) = (flight.peer, flight.refused);
        // A peer that was removed, or that no member has heard from, is asked but not judged, so it needs no relays.
        let judged = self.is_member(&peer);
        let wanted = if judged { self.config.relays as usize } else { 0 };
        let mut relays: Vec<P> = Vec::new();
        if wanted > 0 {
            let able = |member: &&Member<P>| member.status() == Status::Alive && member.peer != peer;
            relays.extend(self.members.iter().filter(able).map(|member| member.peer));
            let (chosen, _) = relays.partial_shuffle(chance, wanted);
            relays = chosen.to_vec();
        }
        // A refused connection would be refused again.
        let direct = if judged && !refused { 1 + wanted - relays.len() } else { 0 };
        let Some(flight) = self.flights.get_mut(&probe) else {
            return;
        };
        let timeout = flight.due.saturating_sub(now);
        flight.asked = true;
        flight.silent = relays.len() as u32;
        flight.open += (relays.len() + direct) as u32;
        flight.relays.clone_from(&relays);
        let mut request = token.0;
        for via in relays {
            request += 1;
            let token = Token(request);
            self.outbox.push(Output::Relay { token, via, peer, timeout, budget: timeout * 3 / 4 });
        }
        for _ in 0..direct {
            request += 1;
            self.request(Token(request), peer, timeout);
        }
    }

    pub(super) fn outcome<R: Rng + ?Sized>(&mut self, now: Duration, token: Token, outcome: Outcome, chance: &mut R) {
        let probe = token.0 >> REQUESTS;
        let number = (token.0 & ((1 << REQUESTS) - 1)) as usize;
        let Some(flight) = self.flights.get(&probe) else {
            return;
        };
        let peer = flight.peer;
        let via = number.checked_sub(1).and_then(|at| flight.relays.get(at)).copied();
        // Another cluster's node on a member's address is not that member.
        let outcome = match outcome {
            Outcome::Answered(stated) => {
                let merge = via.is_none() && self.merges(&peer, &stated);
                match (self.relate(&stated, merge), via) {
                    (Relation::Member, _) => outcome,
                    (Relation::Stranger, None) => Outcome::Refused,
                    (Relation::Stranger, Some(_)) => Outcome::Lost,
                }
            }
            outcome => outcome,
        };
        let Some(flight) = self.flights.get_mut(&probe) else {
            return;
        };
        flight.open = flight.open.saturating_sub(1);
        flight.refused |= via.is_none() && outcome == Outcome::Refused;
        let (open, asked, refused, token) = (flight.open, flight.asked, flight.refused, Token(probe << REQUESTS));
        if via.is_some() && !matches!(outcome, Outcome::Lost | Outcome::Refused) {
            flight.silent = flight.silent.saturating_sub(1);
        }
        match (outcome, via) {
            (Outcome::Answered(stated), None) => {
                // A peer that is still about to join others does not accept the welcome yet.
                let joins = stated.cluster.is_none() && self.cluster.id().is_some();
                let welcomed = !joins && self.flights.get(&probe).is_some_and(|flight| flight.welcome);
                if let Ok(at) = self.position(&peer)
                    && welcomed
                {
                    self.members[at].welcome = false;
                }
                self.succeed(probe, number == 0);
                self.heard(now, peer, &stated, true);
                self.remind(&peer);
                self.compare_hashes(now, peer, stated.view);
                return;
            }
            (Outcome::Answered(stated), Some(via)) => {
                self.succeed(probe, false);
                self.heard(now, via, &stated, true);
                self.heard_behind(now, peer, false);
                return;
            }
            (Outcome::Unreachable(stated), Some(via)) => self.heard(now, via, &stated, true),
            (Outcome::Unreachable(_), None) | (Outcome::Lost | Outcome::Refused, _) => {}
        }
        if !asked && (open == 0 || refused) {
            self.ask_relays(now, token, chance);
        }
        if self.flights.get(&probe).is_some_and(|flight| flight.open == 0) {
            self.conclude(now, probe, chance);
        }
    }

    /// Ends a probe that has reached its peer, with its `first` request or a later one.
    fn succeed(&mut self, probe: u64, first: bool) {
        let Some(flight) = self.flights.remove(&probe) else {
            return;
        };
        match (flight.scheduled, flight.asked) {
            (true, false) => self.health = self.health.saturating_sub(1),
            // The first request was not lost, so this node or the network is slower than this node assumes, and the
            // relays were asked in vain.
            (true, true) if first => self.worsen(LATE),
            (true, true) | (false, _) => {}
        }
        if !flight.asked {
            let timer = Timer::Relays { token: Token(probe << REQUESTS) };
            self.outbox.push(Output::Cancel { at: flight.second_stage, timer });
        }
    }

    /// Handles an answer without a statement, to this node (`direct`) or through a relay. The peer is alive.
    pub(super) fn heard_behind(&mut self, now: Duration, peer: P, direct: bool) {
        let Some(member) = self.find(&peer) else {
            return;
        };
        if member.incarnation.is_passive() {
            self.heard(now, peer, &Statement::default(), direct);
        } else {
            self.withdraw(&peer);
            self.remind(&peer);
            if direct {
                self.count_answer(now, peer);
            }
        }
    }

    /// Tells a peer that answers although it is under suspicion, because it cannot know of the suspicion.
    fn remind(&mut self, peer: &P) {
        if self.status(peer) == Some(Status::Suspect)
            && let Some(held) = self.held_against(peer)
        {
            self.tell(*peer, held);
        }
    }

    /// Ends a probe of which every request has failed or been given up.
    fn conclude<R: Rng + ?Sized>(&mut self, now: Duration, probe: u64, chance: &mut R) {
        let Some(flight) = self.flights.remove(&probe) else {
            return;
        };
        let Some(member) = self.find(&flight.peer) else {
            return;
        };
        let (status, known_before, answered) = (member.status(), member.known_before, member.answered);
        let current = member.incarnation == flight.incarnation;
        // A failure that is reported late means that this node, or its network, stood still meanwhile.
        let late = now > flight.due + self.config.stall_tolerance;
        if flight.void || late {
            return;
        }
        if matches!(status, Status::Pending | Status::Unreachable) {
            self.not_heard(now, flight.peer, chance);
            if flight.refused && known_before {
                self.refused(now, flight.peer, chance);
            }
            return;
        }
        if !status.is_known() {
            return;
        }
        if flight.scheduled && !flight.refused {
            // Relays that answer that they cannot reach the peer show that this node is reachable. Silent relays
            // suggest that it is not.
            self.worsen(if flight.relays.is_empty() { 1 } else { flight.silent });
        }
        match (current, flight.refused) {
            (true, true) => {
                self.refused(now, flight.peer, chance);
                if flight.scheduled && !answered {
                    self.walk_on(now);
                }
            }
            (true, false) => self.accuse(now, flight.peer),
            (false, _) => {}
        }
    }

    /// Notices that this node's own process stood still, which Lifeguard leaves to its health counter. If an own timer
    /// is later than the tolerance, this node stood still, and failures in the meantime prove nothing.
    pub(super) fn notice_stall(&mut self, now: Duration) {
        let relays = self.flights.values().filter(|flight| !flight.asked);
        let relays = relays.map(|flight| flight.second_stage);
        let retries = self.suspicions.values().filter_map(|suspicion| suspicion.retry_due);
        let earliest = relays.chain(retries).fold(self.period_due, Duration::min);
        let late = now.saturating_sub(earliest);
        if late <= self.config.stall_tolerance {
            // The machine is overloaded: answers are as late as this timer, and no sign that a peer failed.
            if late > self.config.stall_tolerance / SLOW && self.late_timer != earliest {
                self.late_timer = earliest;
                self.worsen(1);
            }
            return;
        }
        let periods = late.as_nanos() / self.config.probe_interval.as_nanos().max(1);
        self.worsen(u32::try_from(periods).unwrap_or(u32::MAX).saturating_add(1));
        for flight in self.flights.values_mut() {
            flight.void = true;
            flight.due = now + self.config.probe_interval;
            flight.second_stage = flight.due;
        }
        for suspicion in self.suspicions.values_mut() {
            suspicion.begin_again(now, self.me);
        }
        self.set_period(now + self.config.probe_interval);
    }
}
