//! Joining, in virtual time: through a host name with several addresses, many newcomers at once, nodes whose SIDs
//! collide, and the limit on subscribers. One test, which is run by hand, joins 300 real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag::{
    Call, ErrorKind, Gid, Nid, NodeAddr, Value,
    membership::{self, MAX_SUBSCRIBERS},
    protocol::{call::Remote, swim::Status},
};
use support::{
    network::*,
    process::{Process, node_command},
    until,
};
use tokio::time::Instant;

#[test]
fn a_newcomer_tries_each_address_of_a_host_name_until_one_answers() {
    in_virtual_time(async |network| {
        let (dead, living) = ([at(1), at(2)], at(3));
        let known = network.start(&living, None);
        network.names.borrow_mut().insert("seeds.example".into(), [&dead[..], &[living.clone(), at(4)]].concat());
        let newcomer = network.start(&at(9), Some("seeds.example:8080"));
        for (node, other) in [(&newcomer, &living), (&known, &at(9))] {
            until("they know each other", || sees(node, "web", other.nid())).await;
        }
        let mut asked = network.receivers_of("sync");
        asked.dedup();
        assert_eq!(asked, [&dead[..], &[living]].concat(), "each in turn, until one answers");
    });
}

#[test]
fn a_newcomer_skips_its_own_address_of_a_host_name() {
    in_virtual_time(async |network| {
        network.start(&at(2), None);
        network.names.borrow_mut().insert("seeds.example".into(), vec![at(9), at(2)]);
        let newcomer = network.start(&at(9), Some("seeds.example:8080"));
        until("it is in", || sees(&newcomer, "all", at(2).nid())).await;
        let mut asked = network.receivers_of("sync");
        asked.dedup();
        assert_eq!(asked, [at(2)]);
    });
}

#[test]
fn a_hundred_newcomers_at_once_cost_few_requests() {
    in_virtual_time(async |network| {
        let mut nodes = vec![network.start(&at(1), None)];
        nodes.extend((2..=101).map(|port| network.start(&at(port), Some("10.0.0.1:1"))));
        let began = Instant::now();
        for node in &nodes {
            for gid in ["all", "web"] {
                let full = async || node.groups().get(gid).await.is_ok_and(|members| members.len() == 101);
                until("it sees all of them", full).await;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?} of virtual time", began.elapsed());
        // a rumor for each newcomer would take forty thousand pushes
        let pushes = network.receivers_of("recv").len();
        assert!(pushes < 3_000, "{pushes} pushes");
        assert_eq!(network.receivers_of("listing").len(), 100, "one for each newcomer");
        let comparisons = network.receivers_of("sync").len();
        assert!(comparisons < 500, "{comparisons} comparisons");
    });
}

#[test]
fn newcomers_that_wait_for_a_slow_seed_do_not_refuse_each_other() {
    in_virtual_time(async |network| {
        network.slow.borrow_mut().push(("sync", Duration::from_millis(1_500)));
        let mut nodes = vec![network.start(&at(1), None)];
        nodes.extend((2..=20).map(|port| network.start(&at(port), Some("10.0.0.1:1"))));
        for node in &nodes {
            until("it sees all", async || node.groups().get("web").await.is_ok_and(|members| members.len() == 20))
                .await;
        }
        // from then on, none can refuse another
        until_of_one_cluster(&nodes).await;
        assert_eq!(*network.strangers.borrow(), 0);
    });
}

#[test]
fn a_gossiped_stop_does_not_stop_a_node_that_enters_later() {
    in_virtual_time(async |network| {
        // the sender is not a member: it holds the message and does not perform it
        let sender = network.start(&at(1), None);
        let members: Vec<NodeAddr> = (2..=4).map(at).collect();
        for member in &members {
            network.start(member, None).groups().put("club", members.clone()).await.unwrap();
        }
        sender.groups().put("club", members.clone()).await.unwrap();
        let _ = sender.group("club").gossip().send((), &Remote::new("status", "stop")).await.unwrap();
        until("all members are stopped", async || network.stopped.borrow().len() == 3).await;
        for member in &members {
            network.crash(member).await;
        }
        let newcomer = network.start(&at(5), None);
        newcomer.groups().put("club", [at(1), at(5)]).await.unwrap();
        sender.groups().put("club", [at(5)]).await.unwrap();
        // it has compared with the sender, and holds the message without performing it
        let load = async || newcomer.status().load().await.is_ok_and(|load| load["gossip.retained"].held > 0);
        until("it has the message", load).await;
        let _ = sender.group("club").gossip().send(("later", [at(5)]), &Remote::new("groups", "put")).await.unwrap();
        until("it performs a later message", async || newcomer.groups().get("later").await.is_ok()).await;
        assert!(!network.stopped.borrow().contains(&at(5)));
        // a stop that is sent from now on does stop it
        let _ = sender.group("club").gossip().send((), &Remote::new("status", "stop")).await.unwrap();
        until("it is stopped", async || network.stopped.borrow().contains(&at(5))).await;
    });
}

#[test]
fn nodes_whose_sids_collide_are_told_apart() {
    // the first pair of ports whose NIDs start with the same five digits
    let mut seen = BTreeMap::new();
    let pair = (1..=u16::MAX).find_map(|port| Some((at(seen.insert(at(port).sid(), port)?), at(port))));
    let (first, second) = pair.unwrap();
    let seed = (2..).map(at).find(|addr| *addr != first && *addr != second).unwrap();
    let third = (seed.port() + 1..).map(at).find(|addr| *addr != first && *addr != second).unwrap();
    in_virtual_time(async |network| {
        let through = seed.to_string();
        let mut nodes = vec![network.start(&seed, None)];
        // the nodes join in different orders, so that each of the two is the first for some node
        let everyone = [&seed, &third, &first, &second];
        nodes.extend(everyone[1..].iter().map(|addr| network.start(addr, Some(&through))));
        for (node, gid) in nodes.iter().flat_map(|node| [(node, "all"), (node, "web")]) {
            until("it sees all four", async || {
                let group = node.groups().get(gid).await.unwrap_or_default();
                everyone.iter().all(|addr| group.contains(&addr.nid()))
            })
            .await;
        }
        network.crash(&first).await;
        for node in nodes.iter().filter(|node| node.nid() != first.nid()) {
            for gid in ["all", "web"] {
                until("one of the two is gone", async || !sees(node, gid, first.nid()).await).await;
                assert!(sees(node, gid, second.nid()).await, "the other has stayed");
            }
            let list = node.membership().list().await.unwrap();
            let status = |nid| list.values().find(|member| member.node.nid() == nid).map(|member| member.status);
            assert_eq!(status(first.nid()), Some(Status::Failed));
        }
        // it returns under a SID that is free
        let again = network.start(&first, Some(&through));
        for node in [&nodes[0], &nodes[1], &again] {
            for other in [&first, &second] {
                until("both are there", || sees(node, "web", other.nid())).await;
            }
        }
    });
}

#[test]
fn a_subscriber_past_the_limit_is_refused_until_another_one_ends() {
    in_virtual_time(async |network| {
        let node = network.start(&at(1), None);
        let mut streams = Vec::new();
        for _ in 0..MAX_SUBSCRIBERS {
            streams.push(node.events().await.unwrap());
        }
        let refused = node.events().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy, "{refused}");
        assert!(refused.message.contains("1024"), "{refused}");
        streams.pop();
        streams.push(node.events().await.unwrap());
        assert_eq!(node.events().await.unwrap_err().kind, ErrorKind::Busy);
        // every subscriber receives the event
        let other = network.start(&at(2), Some("10.0.0.1:1"));
        for stream in &mut streams {
            while stream.next().await.is_some_and(|event| event.peer().is_none_or(|peer| peer.nid != other.nid())) {}
        }
    });
}

#[test]
fn runs_of_a_timed_function_never_overlap_and_missed_runs_are_skipped() {
    in_virtual_time(async |network| {
        let node = network.start(&at(1), None);
        until("the group is there", async || node.groups().get("web").await.is_ok()).await;
        // the start and the end of each run; the third run takes as long as ten intervals
        let runs = Arc::new(Mutex::new(Vec::<(Instant, Option<Instant>)>::new()));
        let noted = runs.clone();
        let function = node.create_rpc(chinwag::Lasting::Always, move |_| {
            let runs = noted.clone();
            async move {
                let number = {
                    let mut runs = runs.lock().unwrap();
                    runs.push((Instant::now(), None));
                    runs.len()
                };
                // the time that a run takes
                tokio::time::sleep(Duration::from_millis(if number == 3 { 1_000 } else { 10 })).await;
                runs.lock().unwrap()[number - 1].1 = Some(Instant::now());
                Ok(Value::Null)
            }
        });
        let (interval, function) = (Duration::from_millis(100), function.await.unwrap());
        let timer = node.group("web").gossip().at(interval, function).await.unwrap();
        until("it has run ten times", async || runs.lock().unwrap().len() >= 10).await;
        node.group("web").gossip().del(&timer).await.unwrap();
        let runs = runs.lock().unwrap().clone();
        for pair in runs.windows(2) {
            let ended = pair[0].1.expect("it had ended before the next began");
            let pause = pair[1].0 - ended;
            assert!(pause >= interval * 9 / 10 && pause <= interval * 11 / 10 + Duration::from_millis(2), "{pause:?}");
        }
        let pauses: BTreeSet<_> = runs.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses.len() > 3, "they are jittered: {pauses:?}");
    });
}

/// Reaches limits on addresses, views and requests that a small group does not reach. Run it by hand:
/// `cargo test --profile dist --test joining -- --ignored`.
#[tokio::test]
#[ignore = "starts 300 processes, which take a minute and 3 GB with a debug build"]
async fn three_hundred_processes_that_join_through_one_seed_all_see_all() {
    const NODES: usize = 300;
    // this node only calls the others: it does not join
    let asking = chinwag::Node::builder().port(0).membership(membership::Settings::off()).start().await.unwrap();
    let spawn = |arguments: &[&str]| {
        let arguments = [&["--port", "0", "--group", "web"], arguments].concat();
        node_command(&arguments).stderr(Stdio::null()).spawn().unwrap()
    };
    let seed = Process::listening(spawn(&[]));
    let through = seed.node.to_string();
    // all are started before the first of them is waited for
    let started: Vec<_> = (1..NODES).map(|_| spawn(&["--join", &through])).collect();
    let mut processes = vec![seed];
    processes.extend(started.into_iter().map(Process::listening));
    let nodes: Vec<NodeAddr> = processes.iter().map(|process| process.node.clone()).collect();
    let expected: BTreeSet<Nid> = nodes.iter().map(NodeAddr::nid).collect();
    assert_eq!(expected.len(), NODES);
    let everyone: BTreeSet<u64> = nodes.iter().map(|node| u64::from(node.port())).collect();
    for node in &nodes {
        for gid in ["all", "web"] {
            let call = Call::new(Gid::local(), "groups", "get", vec![Value::from(gid)]);
            let view = async || -> Option<BTreeSet<u64>> {
                let view = asking.call_on(node, call.clone()).await.ok()?.into_value();
                Some(view.as_object()?.values().filter_map(|node| Some(node.get("port")?.as_f64()? as u64)).collect())
            };
            until(&format!("{node} sees all of {gid}"), async || view().await.as_ref() == Some(&everyone)).await;
        }
    }
    asking.stop().await;
    // all at once: the nodes that remain would detect each one that is gone
    for process in &mut processes {
        process.child.kill().unwrap();
    }
}
