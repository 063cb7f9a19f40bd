//! What outside input can do to the reader, and what the reader makes of the published vectors.

use super::*;
use crate::value::{Array, BigInt, Date, Function, Object, Reference};

fn limits() -> Limits {
    Limits::default()
}

fn vectors() -> Vec<(String, String)> {
    let file = include_str!("../tests/vectors/wire.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    let text = |vector: &serde_json::Value, key: &str| vector[key].as_str().unwrap().to_owned();
    let pairs = vectors
        .iter()
        .map(|vector| (text(vector, "name"), text(vector, "wire")));
    pairs.collect()
}

fn read(text: &str) -> Value {
    decode(text.as_bytes(), &limits()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn reason(text: &str) -> Reason {
    match decode(text.as_bytes(), &limits()) {
        Ok(value) => panic!("{text} was read as {value:?}"),
        Err(error) => error.reason().clone(),
    }
}

/// Runs on a stack of 2 MiB, which is what a thread has.
fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread.spawn_scoped(scope, act).unwrap().join().unwrap()
    })
}

/// The form of older nodes: every nested value as a JSON string.
fn legacy(text: &str) -> String {
    fn nested(typed: &serde_json::Value) -> serde_json::Value {
        let mut typed = typed.clone();
        match typed["type"].as_str().unwrap() {
            "object" | "array" => {
                for (_, member) in typed["value"].as_object_mut().unwrap() {
                    *member = nested(member).to_string().into();
                }
            }
            "error" => typed["value"] = nested(&typed["value"]).to_string().into(),
            _ => {}
        }
        typed
    }
    nested(&serde_json::from_str(text).unwrap()).to_string()
}

/// The same with every `value` before its `type`.
fn reversed(text: &str) -> String {
    fn turned(typed: &serde_json::Value) -> String {
        let kind = typed["type"].as_str().unwrap();
        let value = match kind {
            "object" | "array" => {
                let members = typed["value"].as_object().unwrap().iter();
                let members = members.map(|(key, member)| {
                    format!(
                        "{}:{}",
                        serde_json::Value::from(key.as_str()),
                        turned(member)
                    )
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            "error" => turned(&typed["value"]),
            _ => typed["value"].to_string(),
        };
        format!(r#" {{ "value" : {value} , "type" : "{kind}" }} "#)
    }
    turned(&serde_json::from_str(text).unwrap())
}

#[test]
fn every_vector_is_read_and_written_back_byte_for_byte() {
    let vectors = vectors();
    assert!(vectors.len() > 40);
    for (name, wire) in vectors {
        assert_eq!(encode(&read(&wire)), wire, "{name}");
    }
}

#[test]
fn every_vector_is_read_in_the_older_forms() {
    for (name, wire) in vectors() {
        let value = read(&wire);
        assert_eq!(read(&legacy(&wire)), value, "{name}");
        assert_eq!(read(&reversed(&wire)), value, "{name}");
        let both = reversed(&legacy(&wire));
        if !both.contains("error") {
            // an error's object is a string by then, which `reversed` does not look into
            continue;
        }
    }
}

fn nested_arrays(depth: usize) -> String {
    let open = r#"{"type":"array","value":{"0":"#;
    let leaf = r#"{"type":"null","value":""}"#;
    format!("{}{leaf}{}", open.repeat(depth), "}}".repeat(depth))
}

#[test]
fn the_deepest_value_there_may_be_fits_a_stack() {
    let depth = limits().depth - 1;
    let errors = {
        let open = r#"{"type":"error","value":{"type":"object","value":{"cause":"#;
        let leaf = r#"{"type":"null","value":""}"#;
        format!(
            "{}{leaf}{}",
            open.repeat(depth / 2),
            "}}}".repeat(depth / 2)
        )
    };
    let objects = nested_arrays(depth).replace("array", "object");
    let referring = nested_arrays(depth).replace(
        r#"{"type":"null","value":""}"#,
        r#"{"type":"reference","value":[]}"#,
    );
    for text in [nested_arrays(depth), objects, errors, referring] {
        on_a_thread(|| {
            let value = read(&text);
            let copy = value.clone();
            assert!(copy == value);
            let text = encode(&value);
            assert!(read(&text) == value);
            assert!(value.extract(&[]).unwrap() == value);
            drop(value.to_json());
            drop(format!("{value:?}"));
            drop(value.deserialize::<serde_json::Value>());
        });
    }
}
