//! Tests of addresses and identifiers.

use super::*;

#[test]
fn identifiers_are_those_of_the_reference() {
    #[derive(Deserialize)]
    struct Vectors {
        nodes: Vec<Node>,
        ids: Vec<Id>,
    }
    #[derive(Deserialize)]
    struct Node {
        ip: String,
        port: u16,
        nid: String,
        sid: String,
    }
    #[derive(Deserialize)]
    struct Id {
        value: Value,
        id: String,
    }

    let vectors: Vectors = serde_json::from_str(include_str!("../tests/vectors/ids.json")).unwrap();
    for node in vectors.nodes {
        let address = NodeAddr::new(node.ip, node.port);
        assert_eq!(address.nid().to_string(), node.nid);
        assert_eq!(address.sid().as_str(), node.sid);
    }
    for entry in vectors.ids {
        assert_eq!(id(&entry.value), entry.id, "{:?}", entry.value);
    }
}

#[test]
fn a_node_keeps_its_further_keys() {
    let value = Value::from_json(serde_json::json!({"ip": "::1", "port": 80, "onStart": "x", "zone": 3}));
    let node = NodeAddr::from_value(&value).unwrap();
    assert_eq!(node.authority(), "[::1]:80");
    assert_eq!(node.to_value(), value);
    assert_eq!(node.nid(), NodeAddr::new("::1", 80).nid());
}

#[test]
fn an_invalid_address_is_rejected_with_the_reason() {
    for (json, says) in [
        (serde_json::json!(3), "not number"),
        (serde_json::json!({"port": 1}), "no ip"),
        (serde_json::json!({"ip": "a"}), "no port"),
        (serde_json::json!({"ip": "a/b", "port": 1}), "a/b"),
        (serde_json::json!({"ip": "a@b", "port": 1}), "a@b"),
        (serde_json::json!({"ip": "a", "port": 65536}), "65536"),
        (serde_json::json!({"ip": "a", "port": 1.5}), "1.5"),
        (serde_json::json!({"ip": "a", "port": "80"}), "string"),
        (serde_json::json!({"ip": "", "port": 1}), "host name: \"\""),
        (serde_json::json!({"ip": "a:b", "port": 1}), "a:b"),
        (serde_json::json!({"ip": "a", "port": 0}), "a:0 cannot be"),
        (serde_json::json!({"ip": "0.0.0.0", "port": 1}), "0.0.0.0:1 cannot be"),
        (serde_json::json!({"ip": "::", "port": 1}), "[::]:1 cannot be"),
        (serde_json::json!({"ip": "239.0.0.1", "port": 1}), "multicast"),
        (serde_json::json!({"ip": "127.1", "port": 1}), "four numbers"),
    ] {
        let error = NodeAddr::from_value(&Value::from_json(json)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_address_at_which_nobody_listens_is_accepted() {
    // those of the course's examples among them
    for (ip, port) in [("127.0.0.1", 8080), ("192.0.2.1", 1), ("nowhere.invalid", 65_535), ("h", 1), ("[::1]", 9)] {
        let json = serde_json::json!({"ip": ip, "port": port});
        let node = NodeAddr::from_value(&Value::from_json(json.clone())).unwrap();
        assert_eq!(node.to_value(), Value::from_json(json), "it stays as it was written");
    }
}

#[test]
fn a_configuration_may_name_port_0_and_every_address() {
    let config = Value::from_json(serde_json::json!({"ip": "0.0.0.0", "port": 0}));
    assert_eq!(NodeAddr::from_config(&config).unwrap(), NodeAddr::new("0.0.0.0", 0));
    assert!(NodeAddr::from_value(&config).is_err());
}

#[test]
fn spellings_of_one_address_have_the_same_key_and_different_nids() {
    let node = NodeAddr::new("127.0.0.1", 8080);
    for spelling in ["localhost", "LOCALHOST", "::ffff:127.0.0.1", "[::ffff:7f00:1]"] {
        let other = NodeAddr::new(spelling, 8080);
        assert_eq!(other.key(), node.nid(), "{spelling}");
        assert_ne!(other.nid(), node.nid(), "{spelling}");
        assert!(other.is_same_node(&node) && !other.is_spelled_like(&node), "{spelling}");
    }
    for other in [NodeAddr::new("127.0.0.1", 8081), NodeAddr::new("::1", 8080), NodeAddr::new("127.0.0.2", 8080)] {
        assert_ne!(other.key(), node.key(), "{other}");
        assert!(!other.is_same_node(&node), "{other}");
    }
}

#[test]
fn parsed_addresses_keep_their_spelling() {
    for text in ["127.0.0.1:8080", "[::1]:80", "node-3.example:1"] {
        assert_eq!(text.parse::<NodeAddr>().unwrap().to_string(), text);
    }
    for (text, says) in [
        ("127.0.0.1", "no port"),
        (":80", "host name"),
        ("a b:1", "a b"),
        ("a:65536", "65536"),
        ("a:+80", "+80"),
        ("a:", "port"),
        ("a:0", "any free port"),
        ("0.0.0.0:80", "every address"),
        ("::1:80", "[ADDRESS]:PORT"),
        ("[a]:80", "[a]"),
        ("[::1:80", "[::1"),
    ] {
        let error = text.parse::<NodeAddr>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}
