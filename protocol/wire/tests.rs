//! Tests with the published vectors, and with graphs of references.

mod budget;
mod hostile;

use super::*;
use crate::value::{Array, BigInt, Date, Function, Object, Reference};

fn limits() -> Limits {
    Limits::default()
}

fn vectors() -> Vec<(String, String)> {
    let file = include_str!("../tests/vectors/wire.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    let text = |vector: &serde_json::Value, key: &str| vector[key].as_str().unwrap().to_owned();
    let pairs = vectors.iter().map(|vector| (text(vector, "name"), text(vector, "wire")));
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

/// The form of older nodes: every nested value as a JSON string.
fn in_strings(text: &str) -> String {
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

/// The form with every `value` before its `type`.
fn reversed(text: &str) -> String {
    fn turned(typed: &serde_json::Value) -> String {
        let kind = typed["type"].as_str().unwrap();
        let value = match kind {
            "object" | "array" => {
                let members = typed["value"].as_object().unwrap().iter();
                let members = members
                    .map(|(key, member)| format!("{}:{}", serde_json::Value::from(key.as_str()), turned(member)));
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
        assert_eq!(read(&in_strings(&wire)), value, "{name}");
        assert_eq!(read(&reversed(&wire)), value, "{name}");
    }
}

fn wrapped(kind: &str, value: &str) -> String {
    format!(r#"{{"type":"{kind}","value":{value}}}"#)
}

fn reference(path: &str) -> String {
    wrapped("reference", path)
}

fn object(members: &[(&str, String)]) -> String {
    let members = members.iter().map(|(key, member)| format!("{key:?}:{member}"));
    wrapped("object", &format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

#[test]
fn decoded_references_are_relative_and_lead_directly_to_their_targets() {
    // b -> a, c -> b, d -> b.k by way of two references
    let text = object(&[
        ("d", reference(r#"["\"c\"","\"k\""]"#)),
        ("c", reference(r#"["\"b\""]"#)),
        ("b", reference(r#"["\"a\""]"#)),
        ("a", object(&[("k", object(&[]))])),
    ]);
    let value = read(&text);
    let to = |path: &[&str]| Value::from(Reference::new(1, path.iter().copied()));
    assert_eq!(value.get("b"), Some(&to(&["a"])));
    assert_eq!(value.get("c"), Some(&to(&["a"])));
    assert_eq!(value.get("d"), Some(&to(&["a", "k"])));
}

#[test]
fn references_that_lead_nowhere_or_in_circles_are_rejected() {
    let dangling = [
        object(&[("a", reference(r#"["\"b\""]"#))]),
        object(&[("a", reference(r#"["\"b\"","\"c\""]"#)), ("b", object(&[]))]),
        object(&[("a", reference("[0]"))]),
        // into a leaf, and into an error, which is one
        object(&[("a", reference(r#"["\"b\"","\"length\""]"#)), ("b", wrapped("string", r#""xy""#))]),
        object(&[
            ("a", reference(r#"["\"b\"","\"cause\""]"#)),
            ("b", wrapped("error", &object(&[("cause", object(&[]))]))),
        ]),
        // out of an error's cause
        object(&[
            ("a", object(&[])),
            ("b", wrapped("error", &object(&[("cause", object(&[("x", reference(r#"["\"a\""]"#))]))]))),
        ]),
    ];
    for text in dangling {
        assert!(matches!(reason(&text), Reason::Dangling(_)), "{text}");
    }
    let circular = [
        object(&[("a", reference(r#"["\"a\""]"#))]),
        object(&[("a", reference(r#"["\"b\""]"#)), ("b", reference(r#"["\"a\""]"#))]),
        object(&[("a", reference(r#"["\"a\"","\"b\""]"#))]),
    ];
    for text in circular {
        assert!(matches!(reason(&text), Reason::Circular(_) | Reason::TooCostly(_)), "{text}");
    }
}

/// The output of the JavaScript reference for the third occurrence of an object in an argument (recorded from a run).
#[test]
fn the_malformed_reference_of_a_third_occurrence_is_read() {
    let shared = object(&[("k", wrapped("number", r#""1""#))]);
    // [{x: S, b: {c: {y: S, z: S, w: S, v: S}}}]
    let c = object(&[
        ("y", reference(r#"[0,"\"x\""]"#)),
        ("z", reference(r#"{"$reference":["\"b\"","\"c\"","\"y\"","\"$reference\""]}"#)),
        ("w", reference(r#"{"$reference":{"$reference":["\"c\"","\"z\"","\"$reference\"","\"$reference\""]}}"#)),
        (
            "v",
            reference(
                r#"{"$reference":{"$reference":{"$reference":["\"w\"","\"$reference\"","\"$reference\"","\"$reference\""]}}}"#,
            ),
        ),
    ]);
    let argument = object(&[("x", shared), ("b", object(&[("c", c)]))]);
    let text = wrapped("array", &format!(r#"{{"0":{argument}}}"#));
    let arguments = decode_arguments(text.as_bytes(), &limits()).unwrap();
    let c = arguments.values[0].get("b").unwrap().get("c").unwrap();
    for key in ["y", "z", "w", "v"] {
        assert_eq!(c.get(key), Some(&Reference::new(3, ["x"]).into()), "{key}");
    }
}

#[test]
fn arguments_that_share_a_value_each_get_a_copy() {
    let shared = Object::from_iter([("k", Value::from(1)), ("me", Reference::ancestor(1).into())]);
    let text = encode(&Value::from(vec![
        shared.clone().into(),
        Reference::new(1, [0]).into(),
        vec![Value::from(Reference::new(2, [0])), Reference::new(2, [0]).into()].into(),
    ]));
    let arguments = decode_arguments(text.as_bytes(), &limits()).unwrap();
    let shared = Value::from(shared);
    let pair = Value::from(vec![shared.clone(), Reference::new(1, [0]).into()]);
    assert_eq!(arguments.values, [shared.clone(), shared.clone(), pair]);
    assert_eq!(decode_pair(text.as_bytes(), &limits()).unwrap(), (shared.clone(), shared));
}

#[test]
fn arguments_that_hold_the_argument_list_each_get_a_copy() {
    // [a, b] with a.b = b, b.a = a, and both holding the list
    let text = wrapped(
        "array",
        &format!(
            r#"{{"0":{},"1":{}}}"#,
            object(&[("b", reference("[1]")), ("all", reference("[]"))]),
            object(&[("a", reference("[0]"))]),
        ),
    );
    let arguments = decode_arguments(text.as_bytes(), &limits()).unwrap();
    let [a, b] = &arguments.values[..] else { panic!() };
    // a = {b: {a: ^a}, all: [^a, ^a.b]}
    let expected = Object::from_iter([
        ("b", Value::from(Object::from_iter([("a", Reference::ancestor(2))]))),
        ("all", vec![Value::from(Reference::ancestor(2)), Reference::new(2, ["b"]).into()].into()),
    ]);
    assert_eq!(*a, expected.into());
    let keys = ["a", "b", "a", "all"].map(Into::into);
    assert_eq!(b.at(&keys), b.at(&["a".into(), "all".into()]));
}

#[test]
fn half_surrogate_pairs_are_replaced() {
    let value = read(r#"{"type":"string","value":"\ud800x\udc00\ud83d\udc26"}"#);
    assert_eq!(value, Value::from("\u{FFFD}x\u{FFFD}🐦"));
    let value = read(r#"{"type":"object","value":{"\udc00":{"type":"null","value":""}}}"#);
    assert_eq!(value.get("\u{FFFD}"), Some(&Value::Null));
    let json = decode_plain(br#"{"\udc00":"a\u0000b"}"#, &limits()).unwrap();
    assert_eq!(json.get("\u{FFFD}"), Some(&Value::from("a\0b")));
}

#[test]
fn arguments_and_answers_come_in_both_forms() {
    let typed = encode_arguments(&[Value::from("nid"), Value::Undefined], &limits()).unwrap();
    let arguments = decode_arguments(&typed, &limits()).unwrap();
    assert_eq!(arguments.form, Form::Typed);
    assert_eq!(arguments.values, [Value::from("nid"), Value::Undefined]);

    let plain = br#" [1, -1, 1.5, 1e400, null, true, {"type": "null", "value": ""}, 12345678901234567890]"#;
    assert!(decode_arguments(plain, &limits()).is_err(), "1e400 is no number");
    let plain = br#" [1, -1, 1.5, null, true, {"type": "null"}, 12345678901234567890]"#;
    let arguments = decode_arguments(plain, &limits()).unwrap();
    assert_eq!(arguments.form, Form::Plain);
    assert_eq!(arguments.values[6], Value::Number(12_345_678_901_234_567_000.0));
    assert_eq!(arguments.values[5].get("type"), Some(&Value::from("null")));

    for text in [r#"{"type":"null","value":""}"#, "5", "\"x\"", "true"] {
        let refused = decode_arguments(text.as_bytes(), &limits()).unwrap_err();
        assert!(matches!(refused.reason(), Reason::NotArray(_)), "{text}");
    }
    for text in [r#"{"ip":"127.0.0.1"}"#, "", "[", "[1,]"] {
        assert!(decode_arguments(text.as_bytes(), &limits()).is_err());
    }

    let error = ErrorValue::new("boom").named("TypeError").caused_by(Value::from(5));
    let error = Value::from(error);
    let answer = encode_pair(&error, &Value::Undefined, Form::Typed, &limits()).unwrap();
    assert_eq!(decode_pair(&answer, &limits()).unwrap(), (error.clone(), Value::Undefined));
    let answer = encode_pair(&error, &Value::Undefined, Form::Plain, &limits()).unwrap();
    let expected = br#"[{"name":"TypeError","message":"boom","cause":5},null]"#;
    assert_eq!(answer, expected);
    let (none, nothing) = decode_pair(&encode_arguments(&[], &limits()).unwrap(), &limits()).unwrap();
    assert_eq!((none, nothing), (Value::Undefined, Value::Undefined));
}

#[test]
fn leaves_are_written_like_javascript() {
    let written = |value: Value| {
        let text = encode(&value);
        let typed: serde_json::Value = serde_json::from_str(&text).unwrap();
        typed["value"].as_str().unwrap_or("null").to_owned()
    };
    let numbers = [
        (-0.0, "0"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (0.000_001, "0.000001"),
        (-1e300, "-1e+300"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (4.35, "4.35"),
        (f64::MAX, "1.7976931348623157e+308"),
    ];
    for (number, text) in numbers {
        assert_eq!(written(number.into()), text);
    }
    let dates = [
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_001, "null"),
    ];
    for (milliseconds, text) in dates {
        assert_eq!(written(Date::new(milliseconds).into()), text);
    }
    let error: Value =
        read(r#"{"type":"error","value":{"type":"object","value":{"name":{"type":"number","value":"5"}}}}"#);
    assert_eq!(error, ErrorValue::new("").named("5").into());
    // trailing holes have no form
    let mut array = Array::from(vec![Value::from(BigInt::from(1_i64)), Function::new("x => x").into()]);
    array.push_hole();
    assert_eq!(read(&encode(&array.clone().into())).as_array().unwrap().len(), 2);
    // a reference to nothing is undefined, as in JavaScript
    let dangling = Value::from(vec![Value::from(Reference::ancestor(2)), Reference::new(1, ["x"]).into()]);
    assert_eq!(read(&encode(&dangling)), vec![Value::Undefined, Value::Undefined].into());
}

#[test]
fn strings_are_quoted_like_json_wherever_their_escapes_are() {
    for character in (0..0x180).filter_map(char::from_u32) {
        for before in 0..18 {
            let text = format!("{}{character}{}", "~".repeat(before), "é\"".repeat(before % 3));
            let mut quoted = Vec::new();
            crate::stringify::string(&text, &mut quoted);
            assert_eq!(String::from_utf8(quoted).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
