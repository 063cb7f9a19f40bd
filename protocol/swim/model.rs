//! The small core, exhaustively: three machines, every order of failing, reaching, deciding and hearing.
//!
//! Time is left out: a suspicion may be decided whenever there is a case. Gossip is a growing set of updates, of which
//! any node may receive any, at any time and again, so loss, delay, duplication and reordering are all covered. The
//! incarnations are bounded, and with them the state space.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use stateright::{Checker, Model, Property};

use super::{Claim, Config, Incarnation, Input, Output, Status, Swim, Update};

const NODES: usize = 3;
const LIFE: u64 = 1;
const START: Duration = Duration::ZERO;
/// Past any suspicion time.
const LATE: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Swim<usize>>,
    said: BTreeSet<Update<usize>>,
    down: Option<usize>,
    restarted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// A probe fails, and so does the retry.
    Fail { at: usize, peer: usize },
    /// A probe is answered, or a call arrives. If that leads to an exchange of views, it may be lost.
    Reach { at: usize, peer: usize, exchange: bool },
    /// The suspicion time is over.
    Decide { at: usize, peer: usize },
    /// Gossip brings an update.
    Hear { at: usize, update: Update<usize> },
    /// A process ends.
    Crash { at: usize },
    /// It is started again on the same address, and joins through another.
    Restart { at: usize, seed: usize },
}

struct Group {
    /// Whom probes can miss.
    missed: &'static [usize],
    /// The last turn that a node may take.
    turns: u32,
    crash: bool,
}

impl State {
    fn up(&self, node: usize) -> bool {
        self.down != Some(node)
    }

    /// Carries out what a machine asks for. Requests to itself are left out: actions stand for them.
    fn settle(&mut self, at: usize, exchange: bool) {
        for output in std::mem::take(&mut self.nodes[at].outbox) {
            match output {
                Output::Broadcast(update) => {
                    self.said.insert(update);
                }
                Output::Exchange { peer, .. } if exchange && self.up(peer) => {
                    self.exchange(at, peer);
                }
                _ => {}
            }
        }
    }

    fn exchange(&mut self, from: usize, to: usize) {
        for (from, to) in [(from, to), (to, from)] {
            let view = self.nodes[from].view(&to);
            self.input(to, Input::Exchanged { from, view });
        }
    }

    fn input(&mut self, at: usize, input: Input<usize>) {
        let outputs = self.nodes[at].handle(START, input, &mut chance());
        self.nodes[at].outbox = outputs;
        self.settle(at, false);
    }

    /// Nothing that was said is news to anyone.
    fn is_quiet(&self) -> bool {
        (0..NODES).filter(|at| self.up(*at)).all(|at| {
            self.said.iter().all(|said| {
                let mut node = self.nodes[at].clone();
                let outputs = node.handle(START, Input::Update(*said), &mut chance());
                outputs.is_empty() && node == self.nodes[at]
            })
        })
    }
}

/// The core draws no lots when there are no witnesses and no relays.
fn chance() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn boot(me: usize, life: u64) -> Swim<usize> {
    let config = Config { witnesses: 0, relays: 0, confirmations: 1, stall_tolerance: LATE * 2, ..Config::default() };
    let mut swim = Swim::new(me, life, config).expect("valid");
    let _ = swim.handle(START, Input::Start, &mut chance());
    swim
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut nodes: Vec<_> = (0..NODES).map(|me| boot(me, LIFE)).collect();
        for (me, node) in nodes.iter_mut().enumerate() {
            for peer in (0..NODES).filter(|peer| *peer != me) {
                let incarnation = Incarnation::of_life(LIFE);
                let update = Update { peer, incarnation, claim: Claim::Alive, by: peer };
                let _ = node.handle(START, Input::Update(update), &mut chance());
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
                // Once for the accusation, once for the retry; more change nothing.
                if !state.nodes[at].suspicions.get(&peer).is_some_and(|case| case.mine) {
                    state.nodes[at].accuse(START, peer);
                    state.nodes[at].accuse(START, peer);
                }
                state.settle(at, false);
            }
            Action::Reach { at, peer, exchange } => {
                let stated = state.nodes[peer].incarnation();
                // At most one exchange a second: let it be another second.
                state.nodes[at].heard(LATE, peer, Some(stated));
                state.settle(at, exchange);
            }
            Action::Decide { at, peer } => {
                state.nodes[at].judge(LATE, peer);
                state.settle(at, false);
            }
            Action::Hear { at, update } => state.input(at, Input::Update(update)),
            Action::Crash { at } => state.down = Some(at),
            Action::Restart { at, seed } => {
                state.nodes[at] = boot(at, LIFE + 1);
                let (peer, incarnation) = (at, Incarnation::of_life(LIFE + 1));
                state.said.insert(Update { peer, incarnation, claim: Claim::Alive, by: peer });
                state.down = None;
                state.restarted = true;
                state.exchange(at, seed);
            }
        }
        // When a peer was last told is not part of the core.
        for member in state.nodes.iter_mut().flat_map(|node| &mut node.members) {
            member.second = 0;
        }
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.nodes.iter().all(|node| node.incarnation().turn <= self.turns)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn views(state: &State) -> impl Iterator<Item = (usize, usize, Status, Incarnation)> + '_ {
            state.nodes.iter().enumerate().filter(|(at, _)| state.up(*at)).flat_map(|(at, node)| {
                node.peers().map(move |(peer, status, incarnation)| (at, peer, status, incarnation))
            })
        }
        let mut properties = vec![
            Property::always("nobody is ahead of the node itself", |_, state: &State| {
                views(state).all(|(_, peer, _, known)| known <= state.nodes[peer].incarnation())
            }),
            Property::always("a verdict follows an accusation by its author", |_, state: &State| {
                state.said.iter().filter(|said| said.claim == Claim::Dead).all(|verdict| {
                    // It need not have travelled if enough others accuse: then theirs did.
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
                        (!living || (status == Status::Alive && known == state.nodes[peer].incarnation()))
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
fn one_of_three_is_missed() {
    assert!(check(Group { missed: &[2], turns: 1, crash: false }) > 1_000);
}

#[test]
fn one_of_three_crashes_and_restarts() {
    assert!(check(Group { missed: &[2], turns: 0, crash: true }) > 1_000);
}

#[test]
fn two_of_three_are_missed() {
    assert!(check(Group { missed: &[1, 2], turns: 0, crash: false }) > 1_000);
}
