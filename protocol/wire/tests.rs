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
            let written = encode(&value);
            assert!(read(&written) == value);
            assert!(value.extract(&[]).unwrap() == value);
            drop(value.to_json());
            drop(format!("{value:?}"));
            drop(value.deserialize::<serde_json::Value>());
        });
    }
}

fn wrapped(kind: &str, value: &str) -> String {
    format!(r#"{{"type":"{kind}","value":{value}}}"#)
}

#[test]
fn what_nests_too_deep_is_refused_wherever_it_does() {
    let deep = 20_000;
    let plain = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    let wraps = format!("{}[]{}", r#"{"$reference":"#.repeat(deep), "}".repeat(deep));
    let errors = r#"{"type":"error","value":"#.repeat(deep);
    let reversed_error = format!(
        r#"{}{{"type":"null","value":""}}{}"#,
        r#"{"value":{"0":"#.repeat(deep),
        r#"},"type":"array"}"#.repeat(deep)
    );
    let texts = [
        (nested_arrays(deep), "TooDeep"),
        (errors, "TooDeep"),
        (wrapped("reference", &wraps), "TooDeep"),
        // parts that are not values at all
        (wrapped("null", &plain), "Shape"),
        (wrapped("number", &plain), "Shape"),
        (wrapped("object", &plain), "Shape"),
        (wrapped("reference", &plain), "Shape"),
        (format!(r#"{{"value":{plain},"type":"string"}}"#), "Shape"),
        (format!(r#"{{"type":{plain}}}"#), "Shape"),
        (format!(r#"{{"more":{plain}}}"#), "Envelope"),
        (plain.clone(), "Shape"),
        ("[".repeat(deep), "Shape"),
        (reversed_error, "TooCostly"),
    ];
    for (text, expected) in texts {
        let found = on_a_thread(|| format!("{:?}", reason(&text)));
        assert!(
            found.starts_with(expected),
            "{expected}: {found} from {}",
            &text[..60]
        );
    }
    let refused = on_a_thread(|| decode_arguments(plain.as_bytes(), &limits())).unwrap_err();
    assert_eq!(*refused.reason(), Reason::TooDeep(limits().depth));
}

#[test]
fn one_level_too_deep_is_too_deep() {
    let most = limits().depth - 1;
    read(&nested_arrays(most));
    assert_eq!(reason(&nested_arrays(most + 1)), Reason::TooDeep(most + 1));
    let json = format!("{}{}", "[".repeat(most + 1), "]".repeat(most + 1));
    decode_plain(json.as_bytes(), &limits()).unwrap();
}

#[test]
fn strings_in_strings_end() {
    // each level doubles the text, so the reader sees few; then the same with little to escape
    let mut text = wrapped("null", r#""""#);
    for _ in 0..14 {
        let nested = serde_json::Value::from(text).to_string();
        text = wrapped("array", &format!(r#"{{"0":{nested}}}"#));
    }
    let value = read(&text);
    assert_eq!(read(&encode(&value)), value);
    // a string in which there is but a string
    let twice = serde_json::Value::from(wrapped("null", r#""""#)).to_string();
    let twice = serde_json::Value::from(twice).to_string();
    let text = wrapped("array", &format!(r#"{{"0":{twice}}}"#));
    assert!(matches!(reason(&text), Reason::Shape(_)));
}

#[test]
fn a_value_before_its_type_may_be_read_again_only_so_often() {
    let filler = "x".repeat(100_000);
    let mut text = wrapped("string", &format!("{filler:?}"));
    for _ in 0..7 {
        text = format!(r#"{{"value":{{"0":{text}}},"type":"array"}}"#);
    }
    read(&text);
    for _ in 0..3 {
        text = format!(r#"{{"value":{{"0":{text}}},"type":"array"}}"#);
    }
    assert!(matches!(reason(&text), Reason::TooCostly(_)));
}

#[test]
fn counts_are_bounded() {
    let hole = |index: &str| {
        wrapped(
            "array",
            &format!(r#"{{"{index}":{}}}"#, wrapped("null", "\"\"")),
        )
    };
    assert_eq!(read(&hole("1000")).as_array().unwrap().len(), 1001);
    for bomb in ["4294967294", "1000000000"] {
        assert_eq!(reason(&hole(bomb)), Reason::TooMany(limits().values));
    }
    for index in [
        "4294967295",
        "99999999999999999999",
        "01",
        "-1",
        "1.5",
        "x",
        "",
        " 1",
        "1e3",
    ] {
        let what = "array index";
        let text = index.to_owned();
        assert_eq!(reason(&hole(index)), Reason::Malformed { what, text });
    }
    let mut json = "[".to_owned() + &"0,".repeat(limits().values);
    json.push_str("0]");
    let refused = decode_arguments(json.as_bytes(), &limits()).unwrap_err();
    assert_eq!(*refused.reason(), Reason::TooMany(limits().values));

    let long = vec![b' '; limits().bytes + 1];
    let refused = decode(&long, &limits()).unwrap_err();
    let (length, limit) = (long.len(), limits().bytes);
    assert_eq!(*refused.reason(), Reason::TooLong { length, limit });
}

#[test]
fn wrong_things_are_refused_by_name() {
    let cases = [
        ("", "Truncated"),
        ("null", "Shape"),
        ("5", "Shape"),
        ("\"text\"", "Shape"),
        ("[]", "Shape"),
        ("{}", "Envelope"),
        (r#"{"type":"null"}"#, "Null"),
        (r#"{"type":"string"}"#, "Envelope"),
        (r#"{"value":""}"#, "Envelope"),
        (r#"{"type":"null","value":"","more":1}"#, "Envelope"),
        (r#"{"type":"null","type":"null"}"#, "Envelope"),
        (r#"{"type":"null","value":""}x"#, "NotJson"),
        (r#"{"type":"null","value":""}{}"#, "NotJson"),
        (r#"{"type":"symbol","value":""}"#, "UnknownType"),
        (r#"{"type":5,"value":""}"#, "Shape"),
        (r#"{"type":"string","value":5}"#, "Shape"),
        (r#"{"type":"boolean","value":true}"#, "Shape"),
        (r#"{"type":"boolean","value":"yes"}"#, "Malformed"),
        (r#"{"type":"array","value":[]}"#, "Shape"),
        (r#"{"type":"object","value":{"a":1}}"#, "Shape"),
        (r#"{"type":"object","value":{"a":null}}"#, "Shape"),
        (
            r#"{"type":"error","value":{"type":"null","value":""}}"#,
            "Shape",
        ),
        (r#"{"type":"error","value":"x"}"#, "NotJson"),
        (r#"{"type":"date","value":"yesterday"}"#, "Malformed"),
        (
            r#"{"type":"date","value":"2024-02-30T00:00:00.000Z"}"#,
            "Malformed",
        ),
        (r#"{"type":"bigint","value":"1n"}"#, "Malformed"),
        (r#"{"type":"bigint","value":""}"#, "Malformed"),
        (r#"{"type":"reference","value":"a"}"#, "Shape"),
        (r#"{"type":"reference","value":[]}"#, "Circular"),
        (r#"{"type":"reference","value":[0]}"#, "Circular"),
        (r#"{"type":"reference","value":[1.5]}"#, "Shape"),
        (r#"{"type":"reference","value":[-1]}"#, "Shape"),
        (r#"{"type":"reference","value":["a"]}"#, "NotJson"),
        (r#"{"type":"reference","value":{"$reference":[]}}"#, "Shape"),
        (r#"{"type":"reference","value":{"$other":[]}}"#, "Shape"),
        ("{'type':'null','value':''}", "NotJson"),
    ];
    for (text, expected) in cases {
        let found = match decode(text.as_bytes(), &limits()) {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("{:?}", error.reason()),
        };
        assert!(found.starts_with(expected), "{text}: {found}");
    }
    let numbers = [
        "", "inf", "nan", "NAN", "infinity", "+1", "0x10", "1_000", " 1", "1 ", ".5", "5.", "1e5",
        "1E+5", "1e+", "--1", "01", "1e+999", "1.0.0", "١",
    ];
    for number in numbers {
        let text = wrapped("number", &format!("{number:?}"));
        let what = "number";
        let text_found = number.to_owned();
        assert_eq!(
            reason(&text),
            Reason::Malformed {
                what,
                text: text_found
            }
        );
    }
}

#[test]
fn faults_say_where() {
    let twice = r#"{"type":"object","value":{"a":{"type":"null","value":""},"a":{"type":"null","value":""}}}"#;
    let error = decode(twice.as_bytes(), &limits()).unwrap_err();
    assert_eq!(*error.reason(), Reason::Duplicate("a".to_owned()));
    assert_eq!(error.offset(), Some(60));

    let mut text = b"{\n\n\"type\": \"string\",\n\"value\": \"".to_vec();
    let valid = text.len();
    text.extend_from_slice(b"\xff\"}");
    let error = decode(&text, &limits()).unwrap_err();
    assert_eq!(*error.reason(), Reason::NotText);
    assert_eq!(error.offset(), Some(valid));

    // inside a value that stood before its type, the place is still that in the message
    let text = r#"{"value":{"a":{"type":"number","value":"x"}},"type":"object"}"#;
    let error = decode(text.as_bytes(), &limits()).unwrap_err();
    assert_eq!(error.offset(), Some(43));
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    for (name, wire) in vectors() {
        for text in [
            wire.clone(),
            legacy(&wire),
            reversed(&wire).trim_end().to_owned(),
        ] {
            for end in 0..text.len() {
                let cut = &text.as_bytes()[..end];
                assert!(decode(cut, &limits()).is_err(), "{name} cut at {end}");
                // a broken byte in place of any other is an error, or another value, but no panic
                let mut broken = text.clone().into_bytes();
                broken[end] ^= 0x81;
                let _ = decode(&broken, &limits());
                let _ = decode_arguments(&broken, &limits());
            }
        }
    }
}

fn reference(path: &str) -> String {
    wrapped("reference", path)
}

fn object(members: &[(&str, String)]) -> String {
    let members = members
        .iter()
        .map(|(key, member)| format!("{key:?}:{member}"));
    wrapped(
        "object",
        &format!("{{{}}}", members.collect::<Vec<_>>().join(",")),
    )
}

#[test]
fn references_are_relative_and_lead_straight_to_their_target() {
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
fn references_that_lead_nowhere_or_in_circles_are_refused() {
    let dangling = [
        object(&[("a", reference(r#"["\"b\""]"#))]),
        object(&[("a", reference(r#"["\"b\"","\"c\""]"#)), ("b", object(&[]))]),
        object(&[("a", reference("[0]"))]),
        // into a leaf, and into an error, which is one
        object(&[
            ("a", reference(r#"["\"b\"","\"length\""]"#)),
            ("b", wrapped("string", r#""xy""#)),
        ]),
        object(&[
            ("a", reference(r#"["\"b\"","\"cause\""]"#)),
            ("b", wrapped("error", &object(&[("cause", object(&[]))]))),
        ]),
        // out of an error's cause
        object(&[
            ("a", object(&[])),
            (
                "b",
                wrapped(
                    "error",
                    &object(&[("cause", object(&[("x", reference(r#"["\"a\""]"#))]))]),
                ),
            ),
        ]),
    ];
    for text in dangling {
        assert!(matches!(reason(&text), Reason::Dangling(_)), "{text}");
    }
    let circular = [
        object(&[("a", reference(r#"["\"a\""]"#))]),
        object(&[
            ("a", reference(r#"["\"b\""]"#)),
            ("b", reference(r#"["\"a\""]"#)),
        ]),
        object(&[("a", reference(r#"["\"a\"","\"b\""]"#))]),
    ];
    for text in circular {
        assert!(
            matches!(reason(&text), Reason::Circular(_) | Reason::TooCostly(_)),
            "{text}"
        );
    }
}

/// What the reference writes for the third occurrence of one object in an argument (read off it running).
#[test]
fn the_third_occurrence_is_read() {
    let shared = object(&[("k", wrapped("number", r#""1""#))]);
    // [{x: S, b: {c: {y: S, z: S, w: S, v: S}}}]
    let c = object(&[
        ("y", reference(r#"[0,"\"x\""]"#)),
        (
            "z",
            reference(r#"{"$reference":["\"b\"","\"c\"","\"y\"","\"$reference\""]}"#),
        ),
        (
            "w",
            reference(
                r#"{"$reference":{"$reference":["\"c\"","\"z\"","\"$reference\"","\"$reference\""]}}"#,
            ),
        ),
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
fn arguments_that_share_are_taken_apart() {
    let shared = Object::from_iter([("k", Value::from(1)), ("me", Reference::ancestor(1).into())]);
    let text = encode(&Value::from(vec![
        shared.clone().into(),
        Reference::new(1, [0]).into(),
        vec![
            Value::from(Reference::new(2, [0])),
            Reference::new(2, [0]).into(),
        ]
        .into(),
    ]));
    let arguments = decode_arguments(text.as_bytes(), &limits()).unwrap();
    let shared = Value::from(shared);
    let pair = Value::from(vec![shared.clone(), Reference::new(1, [0]).into()]);
    assert_eq!(arguments.values, [shared.clone(), shared.clone(), pair]);
    assert_eq!(
        decode_pair(text.as_bytes(), &limits()).unwrap(),
        (shared.clone(), shared)
    );
}

#[test]
fn parts_that_hold_their_whole_are_taken_apart() {
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
    let [a, b] = &arguments.values[..] else {
        panic!()
    };
    // a = {b: {a: ^a}, all: [^a, ^a.b]}
    let expected = Object::from_iter([
        (
            "b",
            Value::from(Object::from_iter([("a", Reference::ancestor(2))])),
        ),
        (
            "all",
            vec![
                Value::from(Reference::ancestor(2)),
                Reference::new(2, ["b"]).into(),
            ]
            .into(),
        ),
    ]);
    assert_eq!(*a, expected.into());
    let keys = ["a", "b", "a", "all"].map(Into::into);
    assert_eq!(b.at(&keys), b.at(&["a".into(), "all".into()]));
}

#[test]
fn sharing_cannot_be_used_to_blow_up() {
    // 2^40 leaves once written out: fine as a graph, refused as a tree
    let mut levels: Vec<(String, String)> = vec![(
        "n0".into(),
        wrapped("array", r#"{"0":{"type":"null","value":""}}"#),
    )];
    for level in 1..=40 {
        let below = reference(&format!(r#"["\"n{}\""]"#, level - 1));
        levels.push((
            format!("n{level}"),
            wrapped("array", &format!(r#"{{"0":{below},"1":{below}}}"#)),
        ));
    }
    let members: Vec<(&str, String)> = levels
        .iter()
        .map(|(key, text)| (key.as_str(), text.clone()))
        .collect();
    let bomb = object(&members);
    let value = read(&bomb);
    assert!(value.to_json().is_err());
    assert!(value.clone().deserialize::<serde_json::Value>().is_err());
    let top = value.extract(&["n40".into()]).unwrap();
    assert!(encode(&top).len() < 64 * 1024);
    let pair = encode_pair(&Value::Null, &value, Form::Plain);
    assert!(String::from_utf8(pair).unwrap().contains("no plain form"));

    // many arguments, each of which gets a copy of one large thing
    let large = wrapped("string", &format!("{:?}", "x".repeat(1 << 20)));
    let mut text = format!(
        r#"{{"type":"array","value":{{"0":{}"#,
        object(&[("s", large)])
    );
    for index in 1..10_000 {
        text.push_str(&format!(r#","{index}":{}"#, reference("[0]")));
    }
    text.push_str("}}");
    let refused = decode_arguments(text.as_bytes(), &limits()).unwrap_err();
    assert!(matches!(refused.reason(), Reason::TooCostly(_)));
    // the first two are copied, the rest is not looked at
    decode_pair(text.as_bytes(), &limits()).unwrap();

    // a flat list of links becomes a deep chain of copies
    let mut text = r#"{"type":"array","value":{"#.to_owned();
    for index in 0..10_000 {
        let next = reference(&format!("[{}]", index + 1));
        text.push_str(&format!(r#""{index}":{},"#, object(&[("next", next)])));
    }
    text.push_str(r#""10000":{"type":"null","value":""}}}"#);
    let refused = on_a_thread(|| decode_arguments(text.as_bytes(), &limits())).unwrap_err();
    assert_eq!(*refused.reason(), Reason::TooDeep(limits().depth));

    // short references to a long one
    let key = "k".repeat(100_000);
    let mut members = vec![
        (key.as_str(), object(&[])),
        ("a", reference(&format!(r#"["\"{key}\""]"#))),
    ];
    let keys: Vec<String> = (0..10_000).map(|index| format!("r{index}")).collect();
    members.extend(
        keys.iter()
            .map(|key| (key.as_str(), reference(r#"["\"a\""]"#))),
    );
    assert!(matches!(reason(&object(&members)), Reason::TooCostly(_)));
}

#[test]
fn strings_are_text_whatever_they_hold() {
    let value = read(r#"{"type":"string","value":"\ud800x\udc00\ud83d\udc26"}"#);
    assert_eq!(value, Value::from("\u{FFFD}x\u{FFFD}🐦"));
    let value = read(r#"{"type":"object","value":{"\udc00":{"type":"null","value":""}}}"#);
    assert_eq!(value.get("\u{FFFD}"), Some(&Value::Null));
    let json = decode_plain(br#"{"\udc00":"a\u0000b"}"#, &limits()).unwrap();
    assert_eq!(json.get("\u{FFFD}"), Some(&Value::from("a\0b")));
}

#[test]
fn arguments_and_answers_come_in_both_forms() {
    let typed = encode_arguments(&[Value::from("nid"), Value::Undefined]);
    let arguments = decode_arguments(&typed, &limits()).unwrap();
    assert_eq!(arguments.form, Form::Typed);
    assert_eq!(arguments.values, [Value::from("nid"), Value::Undefined]);

    let plain =
        br#" [1, -1, 1.5, 1e400, null, true, {"type": "null", "value": ""}, 12345678901234567890]"#;
    assert!(
        decode_arguments(plain, &limits()).is_err(),
        "1e400 is no number"
    );
    let plain = br#" [1, -1, 1.5, null, true, {"type": "null"}, 12345678901234567890]"#;
    let arguments = decode_arguments(plain, &limits()).unwrap();
    assert_eq!(arguments.form, Form::Plain);
    assert_eq!(
        arguments.values[6],
        Value::Number(12_345_678_901_234_567_000.0)
    );
    assert_eq!(arguments.values[5].get("type"), Some(&Value::from("null")));

    for text in [r#"{"type":"null","value":""}"#, "5", "\"x\"", "true"] {
        let refused = decode_arguments(text.as_bytes(), &limits()).unwrap_err();
        assert!(matches!(refused.reason(), Reason::NotArray(_)), "{text}");
    }
    for text in [r#"{"ip":"127.0.0.1"}"#, "", "[", "[1,]"] {
        assert!(decode_arguments(text.as_bytes(), &limits()).is_err());
    }

    let error = ErrorValue::new("boom")
        .named("TypeError")
        .caused_by(Value::from(5));
    let error = Value::from(error);
    let answer = encode_pair(&error, &Value::Undefined, Form::Typed);
    assert_eq!(
        decode_pair(&answer, &limits()).unwrap(),
        (error.clone(), Value::Undefined)
    );
    let answer = encode_pair(&error, &Value::Undefined, Form::Plain);
    let expected = br#"[{"name":"TypeError","message":"boom","cause":5},null]"#;
    assert_eq!(answer, expected);
    let (none, nothing) = decode_pair(&encode_arguments(&[]), &limits()).unwrap();
    assert_eq!((none, nothing), (Value::Undefined, Value::Undefined));
}

#[test]
fn leaves_are_written_as_javascript_writes_them() {
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
    let error: Value = read(
        r#"{"type":"error","value":{"type":"object","value":{"name":{"type":"number","value":"5"}}}}"#,
    );
    assert_eq!(error, ErrorValue::new("").named("5").into());
    // trailing holes have no form
    let mut array = Array::from(vec![
        Value::from(BigInt::from(1_i64)),
        Function::new("x => x").into(),
    ]);
    array.push_hole();
    assert_eq!(
        read(&encode(&array.clone().into()))
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // a reference to nothing is undefined, as it is in JavaScript
    let dangling = Value::from(vec![
        Value::from(Reference::ancestor(2)),
        Reference::new(1, ["x"]).into(),
    ]);
    assert_eq!(
        read(&encode(&dangling)),
        vec![Value::Undefined, Value::Undefined].into()
    );
}
