//! Tests of single situations: spreading here, held rumors in `holding`, and the seen set in `memory`. A test carries
//! each request and answer itself. Many nodes under a network, and arbitrary orders of events, are in the integration
//! test `spreading`.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

mod entering;
mod holding;
mod lives;
mod memory;
mod pacing;

type Node = Gossip<u32, &'static str>;
type Outputs = Vec<Output<u32, &'static str>>;

const CALM: Manner = Manner { urgency: Urgency::Calm, replay: false };

/// A size above the default of `eager_bytes`.
const LARGE: usize = 4096;

/// Members 0 to n - 1, of which those from `first_reference` on are reference nodes.
struct Members {
    count: u32,
    first_reference: u32,
}

impl View<u32> for Members {
    fn len(&self) -> usize {
        self.count as usize
    }
    fn peer(&self, place: usize) -> u32 {
        place as u32
    }
    fn around(&self, peer: u32) -> Option<[u32; 2]> {
        let count = self.count;
        (count > 1).then(|| [(peer + count - 1) % count, (peer + 1) % count])
    }
    fn is_reference(&self, peer: u32) -> bool {
        peer >= self.first_reference
    }
}

/// What a node is given with each call: the time, the members and a random generator.
struct World {
    members: Members,
    fanout: usize,
    chance: ChaCha8Rng,
    now: Duration,
}

impl World {
    fn of(count: u32) -> Self {
        let fanout = crate::fanout::Fanout::Log.count(count as usize);
        let members = Members { count, first_reference: u32::MAX };
        World { members, fanout, chance: ChaCha8Rng::seed_from_u64(1), now: Duration::from_secs(1) }
    }

    fn context(&mut self) -> Context<'_, Members, ChaCha8Rng> {
        Context { now: self.now, view: &self.members, fanout: self.fanout, chance: &mut self.chance }
    }

    fn broadcast(&mut self, node: &mut Node, bytes: usize) -> Outputs {
        let mut out = Vec::new();
        node.broadcast(&mut self.context(), "news", bytes, &mut out).unwrap();
        out
    }

    fn ask(
        &mut self,
        node: &mut Node,
        from: u32,
        request: Request<u32, &'static str>,
    ) -> (Answer<u32, &'static str>, Outputs) {
        let mut out = Vec::new();
        let answer = node.respond(&mut self.context(), Some(from), request, &mut out);
        (answer, out)
    }

    fn tell(&mut self, node: &mut Node, input: Input<u32, &'static str>) -> Outputs {
        let mut out = Vec::new();
        node.handle(&mut self.context(), input, &mut out);
        out
    }

    fn answer(&mut self, node: &mut Node, sent: &Sent, answer: Answer<u32, &'static str>) -> Outputs {
        self.tell(node, Input::Answer { token: sent.0, from: sent.1, answer })
    }
}

type Sent = (Token, u32, Request<u32, &'static str>);

fn node(me: u32) -> Node {
    Gossip::new(me, 1, Arc::new(GossipConfig::default()))
}

fn node_with(me: u32, change: impl FnOnce(&mut GossipConfig)) -> Node {
    let mut config = GossipConfig::default();
    change(&mut config);
    Gossip::new(me, 1, Arc::new(config))
}

fn numbered(origin: u32, incarnation: u64, sequence: u64) -> Id<u32> {
    Id::Numbered { origin, incarnation, sequence }
}

fn rumor(id: Id<u32>, hop: u32) -> Rumor<u32, &'static str> {
    Rumor {
        id,
        hop,
        age: Duration::ZERO,
        urgency: Urgency::Normal,
        replay: false,
        former: None,
        size: LARGE.into(),
        message: "news",
    }
}

fn offer(id: &Id<u32>) -> Request<u32, &'static str> {
    Request::Offer(Arc::new([id.clone()]))
}

fn sends(out: &Outputs) -> Vec<Sent> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { token, to, request } => Some((*token, *to, request.clone())),
        _ => None,
    });
    sent.collect()
}

fn performs(out: &Outputs) -> usize {
    out.iter().filter(|output| matches!(output, Output::Perform { .. })).count()
}

fn is_push(sent: &Sent) -> bool {
    matches!(sent.2, Request::Push(_))
}

fn is_offer(sent: &Sent) -> bool {
    matches!(sent.2, Request::Offer(_))
}

#[test]
fn an_origin_pushes_to_its_fanout_and_has_seen_its_own_rumor() {
    let (mut world, mut origin) = (World::of(100), node(0));
    let out = world.broadcast(&mut origin, LARGE);
    let sent = sends(&out);
    assert_eq!((sent.len(), performs(&out)), (5, 0));
    assert!(sent.iter().all(is_push));
    let Request::Push(own) = sent[0].2.clone() else { unreachable!() };
    assert_eq!((own.id.clone(), own.hop), (numbered(0, 1, 1), 1));
    assert!(origin.has_seen(&own.id));
    let (answer, out) = world.ask(&mut origin, 9, Request::Push(own));
    assert_eq!((answer, out.len()), (Answer::Had, 0));
}

#[test]
fn young_and_small_rumors_are_pushed_and_others_offered() {
    for (hop, bytes, pushes, offers) in [(1, LARGE, 5, 0), (2, LARGE, 0, 6), (9, LARGE, 0, 6), (9, 100, 3, 0)] {
        let (mut world, mut receiver) = (World::of(100), node(0));
        let pushed = Rumor { size: bytes.into(), ..rumor(numbered(7, 1, 1), hop) };
        let (answer, out) = world.ask(&mut receiver, 7, Request::Push(pushed));
        assert_eq!(answer, Answer::Fresh);
        assert!(matches!(out[0], Output::Perform { .. }), "performed first, sent on afterwards");
        let sent = sends(&out);
        let counts = (sent.iter().filter(|s| is_push(s)).count(), sent.iter().filter(|s| is_offer(s)).count());
        assert_eq!(counts, (pushes, offers), "hop {hop}, {bytes} bytes");
        assert!(sent.iter().all(|(_, to, _)| *to != 7 && *to != 0), "neither back nor to itself");
    }
}

#[test]
fn a_relay_sends_to_both_of_its_neighbours_and_an_origin_to_random_peers_only() {
    for (hop, bytes) in [(1, LARGE), (2, LARGE), (9, 100)] {
        let (mut world, mut receiver) = (World::of(100), node(0));
        let pushed = Rumor { size: bytes.into(), ..rumor(numbered(7, 1, 1), hop) };
        let to: Vec<u32> = sends(&world.ask(&mut receiver, 7, Request::Push(pushed)).1).iter().map(|s| s.1).collect();
        assert!(to.contains(&1) && to.contains(&99), "hop {hop}, {bytes} bytes: {to:?}");
    }
    let (mut world, mut origin) = (World::of(100), node(0));
    let mut neighbours = 0;
    for _ in 0..200 {
        let sent = sends(&world.broadcast(&mut origin, LARGE));
        neighbours += sent.iter().filter(|s| s.1 == 1 || s.1 == 99).count();
        for sent in sent {
            world.answer(&mut origin, &sent, Answer::Fresh);
        }
    }
    // 2 of 99 peers in each of 1,000 pushes: 20
    assert!((5..50).contains(&neighbours), "{neighbours}");
}

#[test]
fn a_fanout_of_one_is_one_random_peer() {
    let (mut world, mut receiver) = (World::of(100), node(0));
    world.fanout = 1;
    let mut chosen = std::collections::BTreeSet::new();
    for sequence in 1..=50 {
        let sent = sends(&world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, sequence), 1))).1);
        assert_eq!(sent.len(), 1);
        chosen.insert(sent[0].1);
        world.answer(&mut receiver, &sent[0], Answer::Fresh);
    }
    assert!(chosen.len() > 20, "{chosen:?}");
}

#[test]
fn a_small_group_receives_a_rumor_as_a_whole_and_an_empty_one_settles_at_once() {
    let mut world = World::of(3);
    let mut sent: Vec<_> = sends(&world.broadcast(&mut node(0), LARGE)).iter().map(|s| s.1).collect();
    sent.sort_unstable();
    assert_eq!(sent, [1, 2]);
    for count in [0, 1] {
        let out = World::of(count).broadcast(&mut node(0), LARGE);
        assert_eq!(out, [Output::Settled { id: numbered(0, 1, 1) }]);
    }
}

#[test]
fn one_offerer_is_asked_at_a_time_and_the_next_when_it_fails() {
    let (mut world, mut asker) = (World::of(100), node(0));
    let id = numbered(7, 1, 1);
    let (answer, out) = world.ask(&mut asker, 1, offer(&id));
    assert_eq!(answer, Answer::Noted);
    let first = sends(&out);
    assert_eq!((first.len(), first[0].1), (1, 1));
    assert_eq!(first[0].2, Request::Pull(Arc::new([id.clone()])));
    for from in [2, 3, 2] {
        assert_eq!(world.ask(&mut asker, from, offer(&id)).1, []);
    }
    // Peer 1 does not answer, peer 2 does not hold the rumor, and peer 3 sends it.
    let second = sends(&world.tell(&mut asker, Input::Failure { token: first[0].0 }));
    assert_eq!((second.len(), second[0].1), (1, 2));
    let nothing = Answer::Rumors { rumors: vec![], more: false };
    let third = sends(&world.answer(&mut asker, &second[0], nothing));
    assert_eq!((third.len(), third[0].1), (1, 3));
    let given = Answer::Rumors { rumors: vec![rumor(id.clone(), 4)], more: false };
    let out = world.answer(&mut asker, &third[0], given.clone());
    assert_eq!(performs(&out), 1);
    // The first answer comes late.
    assert_eq!(performs(&world.answer(&mut asker, &first[0], given)), 0);
    assert_eq!(world.ask(&mut asker, 4, offer(&id)).1, []);
    assert_eq!(asker.load().wanted, 0);
}

#[test]
fn silent_offerers_are_asked_again_but_not_forever() {
    let (mut world, mut asker) = (World::of(100), node(0));
    let mut sent = sends(&world.ask(&mut asker, 1, offer(&numbered(7, 1, 1))).1);
    let mut asked = 0;
    while let Some((token, 1, _)) = sent.first().cloned() {
        asked += 1;
        sent = sends(&world.tell(&mut asker, Input::Failure { token }));
    }
    assert_eq!((asked, asker.load().wanted), (16, 0));
}

#[test]
fn a_rumor_that_arrives_otherwise_cancels_its_pull() {
    let (mut world, mut asker) = (World::of(100), node(0));
    let id = numbered(7, 1, 1);
    let pull = sends(&world.ask(&mut asker, 1, offer(&id)).1).remove(0);
    let (_, out) = world.ask(&mut asker, 2, Request::Push(rumor(id.clone(), 1)));
    assert!(out.contains(&Output::Cancel { token: pull.0 }));
    let late = Answer::Rumors { rumors: vec![rumor(id, 2)], more: false };
    assert_eq!(world.answer(&mut asker, &pull, late), []);
}

#[test]
fn rumors_that_were_not_requested_are_ignored_in_an_answer() {
    let (mut world, mut asker) = (World::of(100), node(0));
    let pull = sends(&world.ask(&mut asker, 1, offer(&numbered(7, 1, 1))).1).remove(0);
    let other = Answer::Rumors { rumors: vec![rumor(numbered(8, 1, 1), 2)], more: true };
    assert_eq!(performs(&world.answer(&mut asker, &pull, other)), 0);
    assert!(!asker.has_seen(&numbered(8, 1, 1)));
}

#[test]
fn a_sender_that_is_too_fast_is_busy_until_a_rumor_settles() {
    let mut world = World::of(100);
    let mut origin = node_with(0, |config| config.own_in_flight = 2);
    let first = sends(&world.broadcast(&mut origin, LARGE));
    world.broadcast(&mut origin, LARGE);
    let refused = origin.broadcast(&mut world.context(), "news", LARGE, &mut Vec::new());
    assert_eq!(refused, Err(BroadcastError::Busy { in_flight: 2 }));
    let settled = |out: &Outputs| out.contains(&Output::Settled { id: numbered(0, 1, 1) });
    for push in &first[..4] {
        assert!(!settled(&world.answer(&mut origin, push, Answer::Fresh)));
    }
    assert!(settled(&world.tell(&mut origin, Input::Failure { token: first[4].0 })));
    // Its number is the next one, because a rejected rumor leaves no gap.
    let id = origin.broadcast(&mut world.context(), "news", LARGE, &mut Vec::new());
    assert_eq!(id, Ok(numbered(0, 1, 3)));
}

#[test]
fn a_full_queue_rejects_a_push_without_effect() {
    let mut world = World::of(100);
    let mut receiver = node_with(0, |config| (config.requests, config.queue_count) = (1, 1));
    let mut taken = Vec::new();
    for sequence in 1..=3 {
        taken.push(world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, sequence), 5))));
    }
    let answers: Vec<_> = taken.iter().map(|(answer, _)| answer.clone()).collect();
    assert_eq!(answers, [Answer::Fresh, Answer::Fresh, Answer::Busy]);
    assert!(!receiver.has_seen(&numbered(7, 1, 3)));
    assert_eq!(performs(&taken[2].1), 0);
    for sent in sends(&taken[0].1) {
        world.answer(&mut receiver, &sent, Answer::Noted);
    }
    let (answer, _) = world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, 3), 5)));
    assert_eq!(answer, Answer::Fresh);
}

#[test]
fn waiting_rumors_are_combined_into_one_offer() {
    let mut world = World::of(100);
    let mut receiver = node_with(0, |config| config.requests = 1);
    let first = sends(&world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, 1), 5))).1);
    for sequence in 2..=50 {
        let (_, out) = world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, sequence), 5)));
        assert_eq!(sends(&out), []);
    }
    let mut later = Vec::new();
    for sent in first {
        later.extend(sends(&world.answer(&mut receiver, &sent, Answer::Noted)));
    }
    assert_eq!(later.len(), 6);
    assert!(later.iter().all(|(_, _, request)| matches!(request, Request::Offer(ids) if ids.len() == 49)));
}

#[test]
fn a_failed_push_or_offer_is_replaced_once() {
    let (mut world, mut origin) = (World::of(100), node(0));
    let push = sends(&world.broadcast(&mut origin, LARGE)).remove(0);
    let instead = sends(&world.tell(&mut origin, Input::Failure { token: push.0 }));
    assert_eq!(instead.len(), 1);
    assert!(is_offer(&instead[0]) && instead[0].1 != push.1);
    assert_eq!(world.tell(&mut origin, Input::Failure { token: instead[0].0 }), []);
}

#[test]
fn a_rumor_at_the_hop_limit_is_neither_passed_on_nor_held() {
    let mut world = World::of(100);
    let mut receiver = node_with(0, |config| config.hop_limit = Some(3));
    let (answer, out) = world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, 1), 3)));
    assert_eq!((answer, performs(&out), sends(&out).len()), (Answer::Fresh, 1, 0));
    assert_eq!(receiver.load().retained, 0);
    let (_, out) = world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, 2), 2)));
    assert_eq!(sends(&out).len(), 6);
}

#[test]
fn malformed_input_does_not_panic() {
    let (mut world, mut node) = (World::of(10), node(0));
    world.tell(&mut node, Input::Timer(Timer::Tick));
    let endless = Page {
        after: None,
        held: vec![Stretch::Numbered { origin: 7, incarnation: 1, first: 0, last: u64::MAX }],
        next: Some(numbered(0, 0, 0)),
    };
    let token = Token { number: node.comparison };
    world.tell(&mut node, Input::Answer { token, from: 3, answer: Answer::Differs(endless) });
    assert!(node.load().wanted <= 8192);
    let backwards = Page { after: Some(numbered(9, 9, 9)), held: vec![], next: Some(numbered(1, 1, 1)) };
    let token = Token { number: node.comparison };
    world.tell(&mut node, Input::Answer { token, from: 3, answer: Answer::Differs(backwards) });
    for answer in [Answer::Same, Answer::Fresh, Answer::Busy, Answer::Rumors { rumors: vec![], more: true }] {
        let token = Token { number: 999_999 };
        assert_eq!(world.tell(&mut node, Input::Answer { token, from: 3, answer }), []);
    }
    let last = Rumor { hop: u32::MAX, age: Duration::MAX, ..rumor(numbered(7, 1, u64::MAX), 1) };
    assert_eq!(world.ask(&mut node, 3, Request::Push(last)).0, Answer::Had);
    let long = rumor(Id::Opaque("x".repeat(1000).into()), 1);
    assert_eq!(world.ask(&mut node, 3, Request::Push(long)).0, Answer::Busy);
    let zeroth = rumor(numbered(7, 1, 0), 1);
    assert_eq!(world.ask(&mut node, 3, Request::Push(zeroth)).0, Answer::Had);
}

#[test]
fn an_answer_of_the_wrong_kind_is_a_failure() {
    for wrong in [Answer::Same, Answer::Fresh, Answer::Busy] {
        let (mut world, mut asker) = (World::of(100), node(0));
        let pull = sends(&world.ask(&mut asker, 1, offer(&numbered(7, 1, 1))).1).remove(0);
        world.ask(&mut asker, 2, offer(&numbered(7, 1, 1)));
        let next = sends(&world.answer(&mut asker, &pull, wrong));
        assert_eq!((next.len(), next[0].1), (1, 2));
    }
}

#[test]
fn rumors_beyond_a_new_configuration_are_dropped_at_once() {
    let mut world = World::of(100);
    let mut receiver = node(0);
    for sequence in 1..=5 {
        for sent in sends(&world.ask(&mut receiver, 7, Request::Push(rumor(numbered(7, 1, sequence), 5))).1) {
            world.answer(&mut receiver, &sent, Answer::Noted);
        }
    }
    assert_eq!(receiver.load().retained, 5);
    receiver.configure(Arc::new(GossipConfig { retained_count: 3, ..GossipConfig::default() }));
    assert_eq!(receiver.load().retained, 3);
    assert!(receiver.has_seen(&numbered(7, 1, 1)));
}
