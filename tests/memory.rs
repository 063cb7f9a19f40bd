//! The memory of a node's process.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use support::{process::Process, *};

/// The resident memory of a process, in kB.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Makes a call on a connection, reads the whole answer, and returns whether the server keeps the connection.
fn call(connection: &mut TcpStream, request: &[u8]) -> bool {
    connection.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = connection.read(&mut buffer).unwrap();
        assert!(read > 0, "the answer broke off: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if answer.len() == head + 4 + length.unwrap() {
            return !text.contains("connection: close");
        }
    }
}

/// Makes calls from 24 clients at once. Returns the peak of resident memory, and the connections, which are still open.
fn burst(process: &Process, request: &[u8]) -> (u64, Vec<TcpStream>) {
    let mut most = 0;
    let open = std::thread::scope(|scope| {
        let client = || {
            let connect = || TcpStream::connect(process.node.authority()).unwrap();
            let mut connection = connect();
            for _ in 0..2 {
                if !call(&mut connection, request) {
                    connection = connect();
                }
            }
            connection
        };
        let clients: Vec<_> = (0..24).map(|_| scope.spawn(client)).collect();
        while !clients.iter().all(|client| client.is_finished()) {
            most = most.max(resident(process));
            // how often the peak is looked for
            std::thread::sleep(Duration::from_millis(2));
        }
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    (most, open)
}

#[tokio::test]
async fn resident_memory_shrinks_after_a_peak() {
    let text = format!("[{:?}]", "x".repeat(1_000_000));
    let objects: Vec<_> =
        (0..8_000).map(|i| serde_json::json!({"number": i, "text": "longer than is inline"})).collect();
    let values = serde_json::json!([objects]).to_string();
    // one large value, and many small values
    for (what, body) in [("text", &text), ("values", &values)] {
        let process = Process::start(&["--port", "0"]);
        let sid = put("/status/get", r#"["sid"]"#);
        assert!(raw(process.node.authority().parse().unwrap(), &sid).contains(process.node.sid().as_str()));
        let before = resident(&process);
        let (most, open) = burst(&process, &put("/status/get", body));
        assert!(most > before * 3 / 2, "there was no peak: {before} kB before, {most} kB at the most");
        let shrunk = format!("{what}: resident memory, {before} kB before and {most} kB at its peak, shrinks");
        until(&shrunk, async || resident(&process) * 10 <= before * 13).await;
        drop(open);
    }
}
