//! An exhaustive check of the core: three machines, and every order of failures, contacts, verdicts and news.
//!
//! There is no time: a verdict is possible whenever there is a suspicion. Gossip is a growing set of updates, of which
//! any node may receive any, at any time and again, so loss, delay, duplication and reordering are all covered. The
//! incarnations are bounded, and with them the state space.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stateright::{Checker, Model, Property};

use super::{Claim, Incarnation, Input, Output, Statement, Status, Swim, SwimConfig, Update};

const NODES: u32 = 3;
const LIFE: u64 = 1;
const START: Duration = Duration::ZERO;
/// A time after any suspicion time.
const LATE: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Swim<u32>>,
    said: BTreeSet<Update<u32>>,
    down: Option<u32>,
    restarted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// A probe fails, and so does the retry.
    Fail { at: u32, peer: u32 },
    /// A probe is answered, or a call arrives. If that leads to an exchange of views, it may be lost.
    Reach { at: u32, peer: u32, exchange: bool },
    /// The suspicion time is over.
    Decide { at: u32, peer: u32 },
    /// Gossip brings an update.
    Hear { at: u32, update: Update<u32> },
    /// A process ends.
    Crash { at: u32 },
    /// A process restarts at the same address, and joins through another node.
    Restart { at: u32, seed: u32 },
}

struct Group {
    /// The nodes that probes can miss.
    missed: &'static [u32],
    /// The last turn that a node may take.
    turns: u32,
    crash: bool,
}

impl State {
    fn up(&self, node: u32) -> bool {
        self.down != Some(node)
    }

    /// Carries out the outputs of a machine, except requests, for which there are actions.
    fn settle(&mut self, at: u32, exchange: bool) {
        for output in std::mem::take(&mut self.node(at).outbox) {
            match output {
                Output::Broadcast(update) => {
                    self.said.insert(update);
                }
                Output::Tell { peer, update, .. } if exchange && self.up(peer) => {
                    self.input(peer, Input::Told(update));
                    let stated = Statement::of(self.node(peer).incarnation());
                    self.input(at, Input::Heard { peer, stated });
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, at: u32) -> &mut Swim<u32> {
        &mut self.nodes[at as usize]
    }

    /// Makes two nodes compare their views.
    fn compare(&mut self, from: u32, to: u32) {
        let mut next = Some(self.node(from).begin_joining(&to));
        while let Some(sync) = next {
            let (page, outputs) = self.node(to).answer_sync(START, from, &sync, &mut chance()).expect("it is valid");
            self.node(to).outbox = outputs;
            self.settle(to, false);
            let (more, outputs) = self.node(from).take_page(START, to, (&sync, &page), &mut chance());
            self.node(from).outbox = outputs;
            self.settle(from, false);
            next = more;
        }
    }

    fn input(&mut self, at: u32, input: Input<u32>) {
        let outputs = self.node(at).handle(START, input, &mut chance());
        self.node(at).outbox = outputs;
        self.settle(at, false);
    }

    /// Returns whether no update is news to any node.
    fn is_quiet(&self) -> bool {
        (0..NODES).filter(|at| self.up(*at)).all(|at| {
            self.said.iter().all(|said| {
                let mut node = self.nodes[at as usize].clone();
                let outputs = node.handle(START, Input::Update(*said), &mut chance());
                outputs.is_empty() && normal(node) == normal(self.nodes[at as usize].clone())
            })
        })
    }
}

/// The core draws no random numbers without witnesses and relays.
fn chance() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

/// Removes what is not part of the core: times, and the comparisons that a timer would begin.
fn normal(mut node: Swim<u32>) -> Swim<u32> {
    for member in &mut node.members {
        member.second = 0;
    }
    (node.changed, node.differs_since, node.comparison, node.company) = (START, None, None, false);
    node
}

fn boot(me: u32, life: u64) -> Swim<u32> {
    let config =
        SwimConfig { witnesses: 0, relays: 0, confirmations: 1, stall_tolerance: LATE * 2, ..SwimConfig::default() };
    let mut swim = Swim::new(me, life, config).expect("valid");
    let _ = swim.handle(START, Input::Start, &mut chance());
    swim
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut nodes: Vec<_> = (0..NODES).map(|me| boot(me, LIFE)).collect();
        for (me, node) in (0..NODES).zip(&mut nodes) {
            for peer in (0..NODES).filter(|peer| *peer != me) {
                let incarnation = Incarnation::of_life(LIFE);
                let _ = node.handle(START, Input::Know(peer, incarnation), &mut chance());
            }
        }
        vec![State { nodes, said: BTreeSet::new(), down: None, restarted: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for at in (0..NODES).filter(|at| state.up(*at)) {
            for peer in (0..NODES).filter(|peer| *peer != at) {
                if !self.missed.contains(&peer) {
                    continue;
                }
                actions.push(Action::Fail { at, peer });
                actions.push(Action::Decide { at, peer });
                if state.up(peer) {
                    actions.push(Action::Reach { at, peer, exchange: false });
                    actions.push(Action::Reach { at, peer, exchange: true });
                }
            }
            actions.extend(state.said.iter().map(|update| Action::Hear { at, update: *update }));
        }
        if self.crash && !state.restarted {
            match state.down {
                None => actions.push(Action::Crash { at: 2 }),
                Some(at) => actions.push(Action::Restart { at, seed: 0 }),
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Fail { at, peer } => {
                // Once for the accusation and once for the retry. More failures change nothing.
                if !state.nodes[at as usize].suspicions.get(&peer).is_some_and(|case| case.mine) {
                    state.nodes[at as usize].accuse(START, peer);
                    state.nodes[at as usize].accuse(START, peer);
                }
                state.settle(at, false);
            }
            Action::Reach { at, peer, exchange } => {
                let stated = state.nodes[peer as usize].incarnation();
                // There is at most one exchange per second, so let it be another second.
                state.nodes[at as usize].heard(LATE, peer, &Statement::of(stated), true);
                state.settle(at, exchange);
            }
            Action::Decide { at, peer } => {
                state.nodes[at as usize].judge(LATE, peer);
                state.settle(at, false);
            }
            Action::Hear { at, update } => state.input(at, Input::Update(update)),
            Action::Crash { at } => state.down = Some(at),
            Action::Restart { at, seed } => {
                state.nodes[at as usize] = boot(at, LIFE + 1);
                let (peer, incarnation) = (at, Incarnation::of_life(LIFE + 1));
                state.said.insert(Update { peer, incarnation, claim: Claim::Alive, by: peer });
                state.down = None;
                state.restarted = true;
                state.compare(at, seed);
            }
        }
        state.nodes = state.nodes.into_iter().map(normal).collect();
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.nodes.iter().all(|node| node.incarnation().turn <= self.turns)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn views(state: &State) -> impl Iterator<Item = (u32, u32, Status, Incarnation)> + '_ {
            (0..NODES).zip(&state.nodes).filter(|(at, _)| state.up(*at)).flat_map(|(at, node)| {
                node.peers().map(move |(peer, status, incarnation)| (at, peer, status, incarnation))
            })
        }
        let mut properties = vec![
            Property::always("nobody is ahead of the node itself", |_, state: &State| {
                views(state).all(|(_, peer, _, known)| known <= state.nodes[peer as usize].incarnation())
            }),
            Property::always("a verdict follows an accusation by its author", |_, state: &State| {
                state.said.iter().filter(|said| said.claim == Claim::Dead).all(|verdict| {
                    // The accusation need not have been broadcast if enough others accuse.
                    state.said.iter().any(|said| {
                        said.claim == Claim::Suspect
                            && (said.peer, said.incarnation) == (verdict.peer, verdict.incarnation)
                    })
                })
            }),
            Property::always("a verdict removes nobody at a later incarnation", |_, state: &State| {
                views(state).filter(|view| view.2 == Status::Failed).all(|(_, peer, _, known)| {
                    state
                        .said
                        .iter()
                        .any(|said| said.claim == Claim::Dead && (said.peer, said.incarnation) == (peer, known))
                })
            }),
            Property::always("when all is said, views agree and the living are members", |_, state: &State| {
                !state.is_quiet()
                    || (0..NODES).all(|peer| {
                        let mut seen = views(state).filter(|view| view.1 == peer);
                        let Some((_, _, status, known)) = seen.next() else {
                            return true;
                        };
                        let living = state.up(peer);
                        (!living || (status == Status::Alive && known == state.nodes[peer as usize].incarnation()))
                            && seen.all(|view| (view.2, view.3) == (status, known))
                    })
            }),
            Property::sometimes("a living node is removed", |_, state: &State| {
                views(state).any(|(_, peer, status, _)| status == Status::Failed && state.up(peer))
            }),
        ];
        if self.turns > 0 || self.crash {
            properties.push(Property::sometimes("and comes back", |_, state: &State| {
                state.said.iter().any(|said| {
                    said.claim == Claim::Dead
                        && views(state).any(|(_, peer, status, known)| {
                            status == Status::Alive && peer == said.peer && known > said.incarnation
                        })
                })
            }));
        }
        properties
    }
}

fn check(group: Group) -> usize {
    let checker = group.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
    checker.unique_state_count()
}

#[test]
fn one_of_three_nodes_is_silent() {
    assert!(check(Group { missed: &[2], turns: 1, crash: false }) > 1_000);
}

#[test]
fn one_of_three_nodes_crashes_and_restarts() {
    assert!(check(Group { missed: &[2], turns: 0, crash: true }) > 1_000);
}

#[test]
fn two_of_three_nodes_are_silent() {
    assert!(check(Group { missed: &[1, 2], turns: 0, crash: false }) > 1_000);
}
