//! The simulator: it repeats a run exactly, and its faults have the documented effects.

#![allow(clippy::unwrap_used)]

mod figures;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chinwag::{
    Answer, Call, ErrorKind, Gid, GroupConfig, Lasting, NodeAddr, Remote, Service, Value,
    actors::{local::routes, settings::Settings, transport::contract},
    membership,
    protocol::{
        peer,
        value::{Function, Object},
    },
};
use chinwag_simulation::{GROUP, Latency, Net, Overlay, Simulation, Skew};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A network whose nodes make no requests by themselves for a day.
fn silent(seed: u64) -> Simulation {
    let group = GroupConfig::new(Gid::new(GROUP).unwrap()).with("tick", 86_400_000);
    Simulation::new(seed).group(group)
}

fn echo() -> Service<()> {
    Service::new("echo", |_| ()).method("say", |(), (value,): (Value,)| value).async_method(
        "never",
        |(), _, (): ()| async {
            std::future::pending::<()>().await;
            Ok::<(), chinwag::CallError>(())
        },
    )
}

fn sid() -> Call {
    Call::new(Gid::local(), "status", "get", vec!["sid".into()])
}

/// The time of a call from one node on another, or its error.
async fn ask(net: &Net, from: usize, to: usize) -> Result<Duration, ErrorKind> {
    let before = net.now();
    let reply = net.node(from).with_deadline(ms(500)).call_on(&net.addr(to), sid()).await;
    match reply {
        Ok(_) => Ok(net.now() - before),
        Err(error) => Err(error.kind),
    }
}

#[test]
fn the_network_keeps_the_contract_of_transports() {
    let simulation = Simulation::new(1).nodes(2).service(echo()).latency(Latency::Uniform(1, 20));
    simulation
        .run(|net| async move {
            let nowhere = NodeAddr::new("192.0.2.1", 80);
            contract::holds(&*net.transport(0), &net.addr(1), &nowhere).await;
            net.crash(1);
            let gone = net.transport(0).call(&net.addr(1), sid()).await.unwrap_err();
            assert_eq!(gone.kind, ErrorKind::Unreachable);
        })
        .unwrap();
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let simulation = Simulation::new(seed).nodes(30).overlay(Overlay::RandomRegular(6)).loss(0.2).duplication(0.1);
        let simulation = simulation.latency(Latency::LogNormal { median: 20, sigma: 0.7 }).traced();
        simulation.run(|net| async move {
            for (number, from) in [3, 17, 4].into_iter().enumerate() {
                net.tell(from, &format!("news {number}"));
                net.advance(ms(30)).await;
            }
            net.partition([0..10, 10..20]);
            net.crash(11);
            net.pause(12);
            net.advance(ms(200)).await;
            net.heal();
            net.restart(11);
            net.resume(12);
            net.tell(11, "back");
            net.advance(ms(2_000)).await;
            net.trace()
        })
    };
    let (once, again, other) = (run(1).unwrap(), run(1).unwrap(), run(2).unwrap());
    assert!(once.lines().count() > 100, "{} lines", once.lines().count());
    assert!(once.contains(" lost\n") && once.contains(" cut\n") && once.contains(" - restart 11\n"));
    assert_eq!(once, again);
    assert_ne!(once, other);
}

#[test]
fn a_call_takes_the_latency_there_and_back() {
    let simulation = Simulation::new(1).nodes(3).latency(Latency::Constant(7));
    simulation
        .run(|net| async move {
            assert_eq!(ask(&net, 0, 1).await, Ok(ms(14)));
            net.set_link_latency(0, 2, Latency::Constant(100));
            assert_eq!(ask(&net, 0, 2).await, Ok(ms(107)));
            assert_eq!(ask(&net, 2, 0).await, Ok(ms(107)));
            net.set_latency(Latency::Uniform(1, 3));
            for _ in 0..100 {
                let took = ask(&net, 0, 1).await.unwrap();
                assert!((ms(2)..=ms(6)).contains(&took), "{took:?}");
            }
        })
        .unwrap();
}

#[test]
fn messages_are_lost_independently() {
    let simulation = silent(5).nodes(2).loss(0.3);
    let (answered, counts) = simulation
        .run(|net| async move {
            let mut answered = 0;
            for _ in 0..4_000 {
                match ask(&net, 0, 1).await {
                    Ok(took) => {
                        assert_eq!(took, ms(2));
                        answered += 1;
                    }
                    Err(error) => assert_eq!(error, ErrorKind::DeadlineExceeded),
                }
            }
            // calls that arrived were performed, even if their answers were lost
            let performed = net.node(1).status().counts().await.unwrap() - 1;
            assert!((2_650..2_950).contains(&performed), "{performed}");
            (answered, net.counts())
        })
        .unwrap();
    // 0.7 squared of 4,000 is 1,960, standard deviation 32
    assert!((1_860..2_060).contains(&answered), "{answered}");
    assert_eq!(counts.requests, 4_000);
    assert_eq!(counts.lost, 4_000 - answered);
}

#[test]
fn a_call_that_arrives_twice_is_performed_twice() {
    let simulation = Simulation::new(5).nodes(2).duplication(0.5);
    let performed = simulation
        .run(|net| async move {
            for _ in 0..1_000 {
                ask(&net, 0, 1).await.unwrap();
            }
            net.node(1).status().counts().await.unwrap() - 1
        })
        .unwrap();
    assert!((1_400..1_600).contains(&performed), "{performed}");
}

#[test]
fn partitions_and_cuts_lose_messages_until_they_heal() {
    let simulation = silent(1).nodes(6);
    simulation
        .run(|net| async move {
            net.partition([vec![0, 1], vec![2, 3]]);
            assert!(ask(&net, 0, 1).await.is_ok());
            assert!(ask(&net, 3, 2).await.is_ok());
            assert!(ask(&net, 4, 5).await.is_ok(), "whoever is not named is on a side too");
            for (from, to) in [(0, 2), (2, 0), (1, 5), (5, 3)] {
                assert_eq!(ask(&net, from, to).await, Err(ErrorKind::DeadlineExceeded), "{from}>{to}");
            }
            net.heal();
            assert!(ask(&net, 0, 2).await.is_ok());
            // one direction only: either the call or the answer is lost
            net.cut(0, 1);
            let before = net.node(1).status().counts().await.unwrap();
            assert_eq!(ask(&net, 0, 1).await, Err(ErrorKind::DeadlineExceeded));
            assert_eq!(net.node(1).status().counts().await.unwrap(), before + 1);
            let before = net.node(0).status().counts().await.unwrap();
            assert_eq!(ask(&net, 1, 0).await, Err(ErrorKind::DeadlineExceeded));
            assert_eq!(net.node(0).status().counts().await.unwrap(), before + 2, "performed, its answer cut");
        })
        .unwrap();
}

#[test]
fn messages_under_way_between_two_sides_of_a_new_partition_are_lost() {
    let simulation = Simulation::new(1).nodes(2).latency(Latency::Constant(50));
    simulation
        .run(|net| async move {
            let other = net.clone();
            let asked = actix_web::rt::spawn(async move { ask(&other, 0, 1).await });
            net.advance(ms(20)).await;
            net.partition([[0]]);
            net.advance(ms(100)).await;
            net.heal();
            assert_eq!(asked.await.unwrap(), Err(ErrorKind::DeadlineExceeded));
        })
        .unwrap();
}

#[test]
fn a_crashed_node_refuses_calls_and_restarts_without_its_state() {
    let simulation = Simulation::new(1).nodes(3).latency(Latency::Constant(10)).service(echo());
    simulation
        .run(|net| async move {
            let old = net.node(1);
            let (other, to) = (net.clone(), net.addr(1));
            let never = Call::new(Gid::local(), "echo", "never", Vec::new());
            let asked = actix_web::rt::spawn(async move { other.node(2).call_on(&to, never).await });
            net.advance(ms(15)).await;
            net.crash(1);
            assert!(!net.is_up(1));
            assert_eq!(asked.await.unwrap().unwrap_err().kind, ErrorKind::Interrupted, "with a call in its hands");
            assert_eq!(ask(&net, 0, 1).await, Err(ErrorKind::Unreachable));
            assert!(old.status().counts().await.is_err(), "its actors are gone");

            net.restart(1);
            assert_eq!((net.is_up(1), net.life(1)), (true, 1));
            assert!(ask(&net, 0, 1).await.is_ok());
            assert_eq!(net.node(1).status().counts().await.unwrap(), 2, "it remembers nothing of its former life");
            assert_eq!(net.node(1).group("town").members().await.unwrap().len(), 3, "but its group");
            assert!(old.status().counts().await.is_err());
        })
        .unwrap();
}

#[test]
fn calls_to_and_from_a_paused_node_wait_until_it_resumes() {
    let simulation = silent(1).nodes(2).latency(Latency::Constant(10));
    simulation
        .run(|net| async move {
            net.pause(1);
            assert_eq!(ask(&net, 0, 1).await, Err(ErrorKind::DeadlineExceeded));
            let other = net.clone();
            let asks = actix_web::rt::spawn(async move { ask(&other, 1, 0).await });
            let to = net.addr(1);
            let patient = net.node(0);
            let asked = actix_web::rt::spawn(async move { patient.call_on(&to, sid()).await });
            net.advance(ms(1_000)).await;
            assert!(!asks.is_finished() && !asked.is_finished());
            assert_eq!(net.node(0).status().counts().await.unwrap(), 1, "nothing came out");
            net.resume(1);
            asked.await.unwrap().unwrap();
            asks.await.unwrap().unwrap();
            // the earlier call waited until the node resumed, and was then performed
            assert_eq!(net.node(1).status().counts().await.unwrap(), 3);
        })
        .unwrap();
}

/// Counts how often it has woken, in a task that nobody waits for.
fn waking(count: &Arc<AtomicU64>) -> Service<()> {
    let count = count.clone();
    Service::new("waking", |_| ()).method("every", move |(), (interval,): (u64,)| {
        let count = count.clone();
        drop(actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(ms(interval)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    })
}

#[test]
fn a_crash_ends_the_tasks_and_calls_of_the_node() {
    let woken = Arc::new(AtomicU64::new(0));
    let count = || woken.load(Ordering::Relaxed);
    let simulation = silent(1).nodes(2).service(waking(&woken)).latency(Latency::Constant(10));
    let run = simulation.run(|net| async move {
        net.node(1).call(Gid::local(), "waking", "every", (10,)).await.unwrap();
        net.advance(ms(101)).await;
        assert_eq!(count(), 10);
        // the message arrives, although its sender has ended
        let (other, to) = (net.clone(), net.addr(0));
        let asked = actix_web::rt::spawn(async move { other.node(1).call_on(&to, sid()).await });
        net.advance(ms(5)).await;
        net.crash(1);
        net.advance(ms(1_000)).await;
        assert_eq!(count(), 10);
        assert_eq!(asked.await.unwrap().unwrap_err().kind, ErrorKind::Crashed);
        assert_eq!(net.node(0).status().counts().await.unwrap(), 2);
    });
    run.unwrap();
}

#[test]
fn the_timers_of_a_paused_node_are_late() {
    let woken = Arc::new(AtomicU64::new(0));
    let count = || woken.load(Ordering::Relaxed);
    let simulation = Simulation::new(1).nodes(2).service(waking(&woken));
    let run = simulation.run(|net| async move {
        net.node(1).call(Gid::local(), "waking", "every", (10,)).await.unwrap();
        net.advance(ms(101)).await;
        net.pause(1);
        net.advance(ms(1_000)).await;
        assert_eq!(count(), 10);
        net.resume(1);
        net.advance(ms(1)).await;
        assert_eq!(count(), 11, "the one that was due meanwhile");
        net.advance(ms(100)).await;
        assert_eq!(count(), 21);
    });
    run.unwrap();
}

#[test]
fn the_timers_of_a_fast_clock_fire_early() {
    let simulation = |rate| {
        let fast = Skew::none(0).rate(rate);
        Simulation::new(1).nodes(2).latency(Latency::Constant(10)).clock(fast)
    };
    for (rate, patience) in [(1.0, 500), (1.25, 400), (0.8, 625)] {
        let run = simulation(rate).run(|net| async move {
            // the timeout of an answer that does not come
            net.cut(0, 1);
            let before = net.now();
            assert_eq!(ask(&net, 0, 1).await, Err(ErrorKind::DeadlineExceeded));
            assert_eq!(net.now() - before, ms(patience));
            net.heal();
            // the number of comparisons with the other node, whose clock is right
            net.tell(0, "news");
            net.advance(ms(20_000)).await;
            let before = net.node(1).status().counts().await.unwrap();
            net.advance(Duration::from_secs(200)).await;
            net.node(1).status().counts().await.unwrap() - before
        });
        // At rest, nodes compare once in four ticks. An interval varies by a tenth, and the sum of 250 of them by 4 in
        // a thousand.
        let (compared, expected) = (run.unwrap() as f64, 250.0 * rate);
        assert!((compared / expected - 1.0).abs() < 0.02, "{rate}: {compared}");
    }
}

#[test]
fn the_incarnation_of_a_node_follows_its_clock() {
    let life = async |net: &Net| {
        let list = net.node(1).membership().list().await.unwrap();
        let me = list.into_values().find(|standing| standing.node == net.addr(1)).unwrap();
        me.incarnation.life
    };
    let settings = Settings::default();
    let run = Simulation::new(1).settings(settings).clock(Skew::none(1).offset(-5_000));
    let run = run.run(|net| async move {
        let first = life(&net).await;
        net.advance(ms(100)).await;
        net.restart(1);
        assert_eq!(life(&net).await, first + 101, "a later start, and another");
        net.set_clock(Skew::none(1).offset(-8_000)).unwrap();
        assert_eq!(life(&net).await, first + 101, "a clock does not jump while the node runs");
        net.restart(1);
        assert_eq!(life(&net).await, first + 102 - 3_000);
    });
    run.unwrap();
}

#[test]
fn every_service_of_a_simulated_node_can_be_called() {
    let simulation = Simulation::new(1).nodes(4).overlay(Overlay::Ring);
    simulation
        .run(|net| async move {
            let view = net.node(0).group(net.group()).members().await.unwrap();
            assert_eq!(view.len(), 3, "itself and two neighbours");
            let heard = Remote::new("record", "hear");
            let replies = net.node(0).group("town").comm().send(("hello",), &heard).await.unwrap();
            assert_eq!((replies.values.len(), replies.errors.len()), (3, 0));
            assert_eq!(net.reach("hello").nodes, 3);
            assert!(net.heard(2).is_empty());
            assert_eq!(&*net.heard(1)[0].message, "hello");
        })
        .unwrap();
}

#[test]
fn invalid_settings_are_refused() {
    let tried = |simulation: Simulation| simulation.run(|_| async {}).unwrap_err().to_string();
    for (simulation, says) in [
        (Simulation::new(1).nodes(0), "1 to 1000000 nodes, not 0"),
        (Simulation::new(1).loss(1.0), "loss is a share from 0 to less than 1, not 1"),
        (Simulation::new(1).duplication(-0.1), "duplication"),
        (Simulation::new(1).nodes(5).overlay(Overlay::RandomRegular(5)), "less than the number of nodes"),
        (Simulation::new(1).latency(Latency::Constant(0)), "not 0"),
        (Simulation::new(1).clock(Skew::none(2)), "node 2; the last node is 1"),
        (Simulation::new(1).clock(Skew::none(1).rate(0.0)), "0.1 to 10 times the true rate, not 0"),
        (Simulation::new(1).clock(Skew::none(1).offset(i64::MIN)), "not -9223372036854775808"),
    ] {
        let error = tried(simulation);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_unclaimed_callback_is_dropped() {
    let run = Simulation::new(1).nodes(2).run(|net| async move {
        let answer = |_| async { Ok(Value::from("here")) };
        let once = net.node(0).create_rpc(Lasting::Once, answer).await.unwrap();
        let always = net.node(0).create_rpc(Lasting::Always, answer).await.unwrap();
        net.advance(routes::UNCLAIMED + ms(1)).await;
        let gone = net.node(1).apply(once, Vec::new()).await.unwrap_err();
        assert_eq!(gone.kind, ErrorKind::UnknownService);
        assert!(net.node(1).apply(always, Vec::new()).await.is_ok());
    });
    run.unwrap();
}

#[cfg(feature = "scripts")]
#[test]
fn shipped_code_runs_in_virtual_time_and_repeats_exactly() {
    let run = || {
        // a shipped function draws the number of peers at random
        let subset = Function::new("(members) => 1 + Math.floor(Math.random() * 4)");
        let group = GroupConfig::new(Gid::new("town").unwrap()).with("subset", subset).with("tick", 500.0);
        let simulation = Simulation::new(4).nodes(12).group(group).loss(0.1).latency(Latency::Uniform(1, 9)).traced();
        let ahead = Skew::none(5).offset(86_400_000).rate(2.0);
        simulation.clock(ahead).run(|net| async move {
            let wait =
                "(time, cb) => { const from = Date.now(); setTimeout(() => cb(null, Date.now() - from), time); }";
            let draw =
                "(cb) => distribution.local.status.get('sid', (e, sid) => cb(e, [sid, Math.random(), new Date()]))";
            let endless = "() => { for (;;); }";
            let service = [("wait", wait), ("draw", draw), ("endless", endless)];
            let service: Object = service.into_iter().map(|(name, source)| (name, Function::new(source))).collect();
            for node in [4, 5] {
                net.node(node).routes().put(Value::Object(service.clone()), "shipped").await.unwrap();
                let before = net.now();
                let waited = net.node(node).call(Gid::local(), "shipped", "wait", (3_000.0,)).await.unwrap();
                assert_eq!(waited.into_value(), Value::from(3_000.0), "by its own clock");
                assert_eq!(net.now() - before, ms(if node == 5 { 1_500 } else { 3_000 }));
            }
            let endless = net.node(4).call(Gid::local(), "shipped", "endless", ()).await.unwrap_err();
            assert_eq!(endless.kind, ErrorKind::Other("LimitExceeded".to_owned()));
            let draw = Call::new(Gid::local(), "shipped", "draw", Vec::new());
            let mut drawn = Vec::new();
            for node in [4, 5] {
                drawn.push(net.node(0).call_on(&net.addr(node), draw.clone()).await.map(Answer::into_value));
            }
            net.tell(0, "news");
            net.advance(ms(5_000)).await;
            assert!(net.all_heard("news"));
            (drawn, net.trace())
        })
    };
    let (once, again) = (run().unwrap(), run().unwrap());
    assert!(once.0.iter().any(Result::is_ok), "{:?}", once.0);
    assert_eq!(once, again);
}

#[test]
fn a_vanished_host_answers_nothing_and_a_crashed_process_refuses() {
    silent(1)
        .nodes(4)
        .service(echo())
        .latency(Latency::Constant(7))
        .run(|net| async move {
            net.crash(1);
            let before = net.now();
            assert_eq!(ask(&net, 0, 1).await, Err(ErrorKind::Unreachable));
            assert_eq!(net.now() - before, ms(14), "the refusal takes a round trip");
            net.vanish(2);
            let before = net.now();
            assert_eq!(ask(&net, 0, 2).await, Err(ErrorKind::DeadlineExceeded));
            assert_eq!(net.now() - before, ms(500), "silence lasts until the deadline");
            // a call that the node performs is never answered either
            let call = Call::new(Gid::local(), "echo", "never", Vec::new());
            let (node, to) = (net.node(0).with_deadline(ms(300)), net.addr(3));
            let asking = tokio::task::spawn_local(async move { node.call_on(&to, call).await.unwrap_err().kind });
            net.advance(ms(50)).await;
            net.vanish(3);
            assert_eq!(asking.await.unwrap(), ErrorKind::DeadlineExceeded);
            // both nodes can restart
            for node in [1, 2] {
                assert!(!net.lives(node));
                net.restart(node);
                assert!(net.lives(node));
                assert_eq!(ask(&net, 0, node).await, Ok(ms(14)));
            }
        })
        .unwrap();
}

/// Sends a membership ping from one node to another. `kept` decides whether the connection stays open.
async fn ping(net: &Net, from: usize, to: usize, kept: bool) {
    let body = peer::Body::Ping(peer::Ping { kept, ..peer::Ping::default() });
    let request = peer::Request { from: None, stated: peer::Stated::default(), body };
    // the answer does not matter
    let _ = net.transport(from).ask(&net.addr(to), request.into(), ms(1_000)).await;
}

#[test]
fn a_killed_node_closes_the_connections_that_it_kept_open() {
    silent(1)
        .nodes(6)
        .latency(Latency::Constant(5))
        .traced()
        .run(|net| async move {
            ping(&net, 0, 1, true).await;
            net.advance(ms(10_000)).await;
            assert!(net.closed_connections(0).is_empty(), "a connection is kept for ten seconds");
            ping(&net, 0, 2, true).await;
            ping(&net, 0, 3, false).await;
            ping(&net, 0, 5, true).await;
            ping(&net, 0, 2, true).await;
            ping(&net, 3, 0, true).await;
            assert_eq!(net.closed_connections(0), [2, 5], "its own, each once, and not those that others opened to it");
            net.partition([[5]]);
            let killed = net.now().as_millis();
            net.crash(0);
            assert!(net.closed_connections(0).is_empty(), "they are closed once");
            net.advance(ms(20)).await;
            let closed = |trace: &str| -> Vec<String> {
                trace.lines().filter(|line| line.contains(" closed ")).map(str::to_owned).collect()
            };
            assert_eq!(closed(&net.trace()), [format!("{} - closed 0>2", killed + 5)], "none passes a partition");
            // a host that is gone closes no connection
            assert_eq!(net.closed_connections(3), [0]);
            net.vanish(3);
            net.advance(ms(20)).await;
            assert_eq!(closed(&net.trace()).len(), 1);
        })
        .unwrap();
}

#[test]
fn further_cliques_are_separate_and_their_nodes_can_join() {
    let settings = Settings::from(membership::Settings::paced(ms(200)));
    Simulation::new(3)
        .nodes(4)
        .beside([3, 1])
        .settings(settings)
        .run(|net| async move {
            assert_eq!(net.len(), 8);
            net.advance(ms(4_000)).await;
            let members = async |node: usize, gid: &str| -> Vec<usize> {
                let view = net.node(node).group(gid).members().await.unwrap();
                (0..net.len()).filter(|other| view.contains(&net.addr(*other).nid())).collect()
            };
            for gid in ["all", GROUP] {
                assert_eq!(members(0, gid).await, [0, 1, 2, 3]);
                assert_eq!(members(5, gid).await, [4, 5, 6]);
                assert_eq!(members(7, gid).await, [7]);
            }
            net.join(7, &[2], &[Gid::new(GROUP).unwrap()]);
            net.advance(ms(4_000)).await;
            for gid in ["all", GROUP] {
                for node in [0, 1, 2, 3, 7] {
                    assert_eq!(members(node, gid).await, [0, 1, 2, 3, 7], "{gid} on {node}");
                }
                assert_eq!(members(5, gid).await, [4, 5, 6]);
            }
        })
        .unwrap();
    let none = Simulation::new(3).beside([2, 0]).check().unwrap_err();
    assert!(none.to_string().contains("at least one node"), "{none}");
}
