//! Nodes on a street of their own, in virtual time: a transport whose names and addresses the test decides. Joining by a
//! name that stands for several addresses, a storm of newcomers, nodes whose SIDs collide, and the bound on subscribers.
//! One test, which is run by hand, joins 300 real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/street.rs"]
mod street;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use chinwag::{
    Call, ErrorKind, Gid, Nid, NodeAddr, Value,
    membership::{self, MAX_SUBSCRIBERS},
    protocol::{call::Remote, swim::Status},
};
use futures_util::StreamExt as _;
use street::*;
use tokio::time::Instant;

#[test]
fn a_name_that_stands_for_several_addresses_is_tried_at_each() {
    story(async |street| {
        let (dead, living) = ([at(1), at(2)], at(3));
        let known = street.open(&living, None);
        street.names.borrow_mut().insert("seeds.example".into(), [&dead[..], &[living.clone(), at(4)]].concat());
        let newcomer = street.open(&at(9), Some("seeds.example:8080"));
        for (node, other) in [(&newcomer, &living), (&known, &at(9))] {
            until("they know each other", || sees(node, "town", other.nid())).await;
        }
        let mut asked = street.asked("sync");
        asked.dedup();
        assert_eq!(asked, [&dead[..], &[living]].concat(), "each in turn, until one answers");
    });
}

#[test]
fn a_name_that_stands_for_oneself_too_is_tried_at_the_others() {
    story(async |street| {
        street.open(&at(2), None);
        street.names.borrow_mut().insert("seeds.example".into(), vec![at(9), at(2)]);
        let newcomer = street.open(&at(9), Some("seeds.example:8080"));
        until("it is in", || sees(&newcomer, "all", at(2).nid())).await;
        let mut asked = street.asked("sync");
        asked.dedup();
        assert_eq!(asked, [at(2)]);
    });
}

#[test]
fn a_hundred_that_join_at_once_cost_a_few_rumors() {
    story(async |street| {
        let mut nodes = vec![street.open(&at(1), None)];
        nodes.extend((2..=101).map(|port| street.open(&at(port), Some("10.0.0.1:1"))));
        let began = Instant::now();
        for node in &nodes {
            for gid in ["all", "town"] {
                let full = async || node.groups().get(gid).await.is_ok_and(|members| members.len() == 101);
                until("it sees all of them", full).await;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?} of virtual time", began.elapsed());
        // a hundred rumors would be forty thousand
        let pushes = street.asked("recv").len();
        assert!(pushes < 3_000, "{pushes} pushes");
        assert_eq!(street.asked("listing").len(), 100, "one a newcomer");
        let comparisons = street.asked("sync").len();
        assert!(comparisons < 500, "{comparisons} comparisons");
    });
}

#[test]
fn nodes_that_wait_for_a_slow_seed_are_no_strangers_to_each_other() {
    story(async |street| {
        street.slow.borrow_mut().push(("sync", Duration::from_millis(1_500)));
        let mut nodes = vec![street.open(&at(1), None)];
        nodes.extend((2..=20).map(|port| street.open(&at(port), Some("10.0.0.1:1"))));
        for node in &nodes {
            until("it sees all", async || node.groups().get("town").await.is_ok_and(|members| members.len() == 20))
                .await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(*street.strangers.borrow(), 0);
    });
}

#[test]
fn a_gossiped_stop_does_not_stop_a_node_that_comes_later() {
    story(async |street| {
        // the sender is in no member's place, so that it holds the message and does not stop
        let sender = street.open(&at(1), None);
        let members: Vec<NodeAddr> = (2..=4).map(at).collect();
        for member in &members {
            street.open(member, None).groups().put("club", members.clone()).await.unwrap();
        }
        sender.groups().put("club", members.clone()).await.unwrap();
        let _ = sender.group("club").gossip().send((), &Remote::new("status", "stop")).await.unwrap();
        until("all members are stopped", async || street.stopped.borrow().len() == 3).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for member in &members {
            street.shut(member).await;
        }
        let newcomer = street.open(&at(5), None);
        newcomer.groups().put("club", [at(1), at(5)]).await.unwrap();
        sender.groups().put("club", [at(5)]).await.unwrap();
        // it has compared notes with the sender, and has what it did not perform
        let load = async || newcomer.status().load().await.is_ok_and(|load| load["gossip.retained"].held > 0);
        until("it has the message", load).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!street.stopped.borrow().contains(&at(5)));
        // one that is sent now does stop it
        let _ = sender.group("club").gossip().send((), &Remote::new("status", "stop")).await.unwrap();
        until("it is stopped", async || street.stopped.borrow().contains(&at(5))).await;
    });
}

#[test]
fn nodes_whose_sids_collide_are_told_apart() {
    // the first pair of ports whose NIDs share five digits
    let mut seen = BTreeMap::new();
    let pair = (1..=u16::MAX).find_map(|port| Some((at(seen.insert(at(port).sid(), port)?), at(port))));
    let (first, second) = pair.unwrap();
    let seed = (2..).map(at).find(|addr| *addr != first && *addr != second).unwrap();
    let third = (seed.port() + 1..).map(at).find(|addr| *addr != first && *addr != second).unwrap();
    story(async |street| {
        let through = seed.to_string();
        let mut nodes = vec![street.open(&seed, None)];
        // they come in different orders, so that each is the first for somebody
        let everyone = [&seed, &third, &first, &second];
        nodes.extend(everyone[1..].iter().map(|addr| street.open(addr, Some(&through))));
        for (node, gid) in nodes.iter().flat_map(|node| [(node, "all"), (node, "town")]) {
            until("it sees all four", async || {
                let group = node.groups().get(gid).await.unwrap_or_default();
                everyone.iter().all(|addr| group.contains(&addr.nid()))
            })
            .await;
        }
        street.shut(&first).await;
        for node in nodes.iter().filter(|node| node.nid() != first.nid()) {
            for gid in ["all", "town"] {
                until("one of the two is gone", async || !sees(node, gid, first.nid()).await).await;
                assert!(sees(node, gid, second.nid()).await, "the other has stayed");
            }
            let list = node.membership().list().await.unwrap();
            let status = |nid| list.values().find(|member| member.node.nid() == nid).map(|member| member.status);
            assert_eq!(status(first.nid()), Some(Status::Failed));
        }
        // and back, under a SID that is free
        let again = street.open(&first, Some(&through));
        for node in [&nodes[0], &nodes[1], &again] {
            for other in [&first, &second] {
                until("both are there", || sees(node, "town", other.nid())).await;
            }
        }
    });
}

#[test]
fn subscribers_are_bounded_and_make_room_when_they_go() {
    story(async |street| {
        let node = street.open(&at(1), None);
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
        // all of them hear
        let other = street.open(&at(2), Some("10.0.0.1:1"));
        for stream in &mut streams {
            while stream.next().await.is_some_and(|event| event.peer().is_none_or(|peer| peer.nid != other.nid())) {}
        }
    });
}

#[test]
fn a_timed_function_never_overlaps_itself_nor_catches_up() {
    story(async |street| {
        let node = street.open(&at(1), None);
        until("the group is there", async || node.groups().get("town").await.is_ok()).await;
        // when each run began and ended; the third takes as long as ten intervals
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
                tokio::time::sleep(Duration::from_millis(if number == 3 { 1_000 } else { 10 })).await;
                runs.lock().unwrap()[number - 1].1 = Some(Instant::now());
                Ok(Value::Null)
            }
        });
        let (interval, function) = (Duration::from_millis(100), function.await.unwrap());
        let timer = node.group("town").gossip().at(interval, function).await.unwrap();
        until("it has run ten times", async || runs.lock().unwrap().len() >= 10).await;
        node.group("town").gossip().del(&timer).await.unwrap();
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

/// How long the processes may take until one of them sees all. Generous: it is reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node in a process of its own, killed when dropped.
struct Process(Child);

impl Process {
    /// Starts it, and does not wait.
    fn spawn(arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chinwag"));
        command.args(["--json", "--port", "0", "--group", "town"]).args(arguments);
        Process(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Its address, once it is up.
    fn address(&mut self) -> NodeAddr {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let up: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"));
        NodeAddr::new(up["ip"].as_str().unwrap(), up["port"].as_u64().unwrap() as u16)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More nodes than any bound on addresses, views or requests that a small group does not reach. Run it by hand:
/// `cargo test --profile dist --test joining -- --ignored`.
#[tokio::test]
#[ignore = "starts 300 processes, which take a minute and 3 GB with a debug build"]
async fn three_hundred_processes_that_join_through_one_seed_all_see_all() {
    const NODES: usize = 300;
    // it only asks, and joins nothing
    let asking = chinwag::Node::builder().port(0).membership(membership::Settings::off()).start().await.unwrap();
    let mut processes = vec![Process::spawn(&[])];
    let seed = processes[0].address();
    let through = seed.to_string();
    processes.extend((1..NODES).map(|_| Process::spawn(&["--join", &through])));
    let mut nodes = vec![seed];
    nodes.extend(processes[1..].iter_mut().map(Process::address));
    let expected: BTreeSet<Nid> = nodes.iter().map(NodeAddr::nid).collect();
    assert_eq!(expected.len(), NODES);
    let everyone: BTreeSet<u64> = nodes.iter().map(|node| u64::from(node.port())).collect();
    for node in &nodes {
        for gid in ["all", "town"] {
            let asked = Call::new(Gid::local(), "groups", "get", vec![Value::from(gid)]);
            let view = async || -> Option<BTreeSet<u64>> {
                let view = asking.call_on(node, asked.clone()).await.ok()?.into_value();
                Some(view.as_object()?.values().filter_map(|node| Some(node.get("port")?.as_f64()? as u64)).collect())
            };
            let began = std::time::Instant::now();
            let mut seen = view().await;
            // the answers are long, and whoever gives them is busy
            while seen.as_ref() != Some(&everyone) && began.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(100)).await;
                seen = view().await;
            }
            let seen = seen.unwrap_or_default();
            assert_eq!(seen, everyone, "{node} sees {} of {NODES} in {gid}", seen.len());
        }
    }
    asking.stop().await;
    // all at once: those that are left have to notice each that is gone
    for process in &mut processes {
        process.0.kill().unwrap();
    }
}
