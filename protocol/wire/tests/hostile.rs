//! Tests with hostile input: depth, counts, copies, and malformed messages.

use super::*;

/// Runs on a stack of 2 MiB, the default of a thread.
fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread.spawn_scoped(scope, act).unwrap().join().unwrap()
    })
}

fn nested_arrays(depth: usize) -> String {
    let open = r#"{"type":"array","value":{"0":"#;
    let leaf = r#"{"type":"null","value":""}"#;
    format!("{}{leaf}{}", open.repeat(depth), "}}".repeat(depth))
}

#[test]
fn the_deepest_allowed_value_fits_a_stack_of_2_mib() {
    let depth = limits().depth - 1;
    let errors = {
        let open = r#"{"type":"error","value":{"type":"object","value":{"cause":"#;
        let leaf = r#"{"type":"null","value":""}"#;
        format!("{}{leaf}{}", open.repeat(depth / 2), "}}}".repeat(depth / 2))
    };
    let objects = nested_arrays(depth).replace("array", "object");
    let referring = nested_arrays(depth).replace(r#"{"type":"null","value":""}"#, r#"{"type":"reference","value":[]}"#);
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

#[test]
fn too_deep_nesting_is_rejected_in_every_position() {
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
        // parts that are not values
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
        assert!(found.starts_with(expected), "{expected}: {found} from {}", &text[..60]);
    }
    let refused = on_a_thread(|| decode_arguments(plain.as_bytes(), &limits())).unwrap_err();
    assert_eq!(*refused.reason(), Reason::TooDeep(limits().depth));
}

#[test]
fn one_level_over_the_limit_is_rejected() {
    let most = limits().depth - 1;
    read(&nested_arrays(most));
    assert_eq!(reason(&nested_arrays(most + 1)), Reason::TooDeep(most + 1));
    let json = format!("{}{}", "[".repeat(most + 1), "]".repeat(most + 1));
    decode_plain(json.as_bytes(), &limits()).unwrap();
}

#[test]
fn strings_nested_in_strings_are_bounded() {
    // each level doubles the text, so there are few levels; then with little to escape
    let mut text = wrapped("null", r#""""#);
    for _ in 0..14 {
        let nested = serde_json::Value::from(text).to_string();
        text = wrapped("array", &format!(r#"{{"0":{nested}}}"#));
    }
    let value = read(&text);
    assert_eq!(read(&encode(&value)), value);
    // a string that contains only a string
    let twice = serde_json::Value::from(wrapped("null", r#""""#)).to_string();
    let twice = serde_json::Value::from(twice).to_string();
    let text = wrapped("array", &format!(r#"{{"0":{twice}}}"#));
    assert!(matches!(reason(&text), Reason::Shape(_)));
}

#[test]
fn rereading_values_before_their_types_is_bounded() {
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
fn the_number_of_values_is_bounded() {
    let hole = |index: &str| wrapped("array", &format!(r#"{{"{index}":{}}}"#, wrapped("null", "\"\"")));
    assert_eq!(read(&hole("1000")).as_array().unwrap().len(), 1001);
    for bomb in ["4294967294", "1000000000"] {
        assert_eq!(reason(&hole(bomb)), Reason::TooMany(limits().values));
    }
    for index in ["4294967295", "99999999999999999999", "01", "-1", "1.5", "x", "", " 1", "1e3"] {
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
fn malformed_messages_are_rejected_with_a_reason() {
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
        (r#"{"type":"error","value":{"type":"null","value":""}}"#, "Shape"),
        (r#"{"type":"error","value":"x"}"#, "NotJson"),
        (r#"{"type":"date","value":"yesterday"}"#, "Malformed"),
        (r#"{"type":"date","value":"2024-02-30T00:00:00.000Z"}"#, "Malformed"),
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
        "", "inf", "nan", "NAN", "infinity", "+1", "0x10", "1_000", " 1", "1 ", ".5", "5.", "1e5", "1E+5", "1e+",
        "--1", "01", "1e+999", "1.0.0", "١",
    ];
    for number in numbers {
        let text = wrapped("number", &format!("{number:?}"));
        let what = "number";
        let text_found = number.to_owned();
        assert_eq!(reason(&text), Reason::Malformed { what, text: text_found });
    }
}

#[test]
fn faults_name_their_offset() {
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

    // inside a value that comes before its type, the offset is still that in the message
    let text = r#"{"value":{"a":{"type":"number","value":"x"}},"type":"object"}"#;
    let error = decode(text.as_bytes(), &limits()).unwrap_err();
    assert_eq!(error.offset(), Some(43));
}

#[test]
fn a_message_truncated_anywhere_is_an_error() {
    for (name, wire) in vectors() {
        for text in [wire.clone(), in_strings(&wire), reversed(&wire).trim_end().to_owned()] {
            for end in 0..text.len() {
                let cut = &text.as_bytes()[..end];
                assert!(decode(cut, &limits()).is_err(), "{name} cut at {end}");
                // replacing any byte results in an error or another value, but does not panic
                let mut broken = text.clone().into_bytes();
                broken[end] ^= 0x81;
                let _ = decode(&broken, &limits());
                let _ = decode_arguments(&broken, &limits());
            }
        }
    }
}

#[test]
fn copies_of_shared_values_are_bounded() {
    // 2^40 leaves as a tree: accepted as a graph, rejected as a tree
    let mut levels: Vec<(String, String)> =
        vec![("n0".into(), wrapped("array", r#"{"0":{"type":"null","value":""}}"#))];
    for level in 1..=40 {
        let below = reference(&format!(r#"["\"n{}\""]"#, level - 1));
        levels.push((format!("n{level}"), wrapped("array", &format!(r#"{{"0":{below},"1":{below}}}"#))));
    }
    let members: Vec<(&str, String)> = levels.iter().map(|(key, text)| (key.as_str(), text.clone())).collect();
    let bomb = object(&members);
    let value = read(&bomb);
    assert!(value.to_json().is_err());
    assert!(value.clone().deserialize::<serde_json::Value>().is_err());
    let top = value.extract(&["n40".into()]).unwrap();
    assert!(encode(&top).len() < 64 * 1024);
    let pair = encode_pair(&Value::Null, &value, Form::Plain, &limits()).unwrap();
    assert!(String::from_utf8(pair).unwrap().contains("no plain form"));

    // many arguments, each of which gets a copy of a large value
    let large = wrapped("string", &format!("{:?}", "x".repeat(1 << 20)));
    let mut text = format!(r#"{{"type":"array","value":{{"0":{}"#, object(&[("s", large)]));
    for index in 1..10_000 {
        text.push_str(&format!(r#","{index}":{}"#, reference("[0]")));
    }
    text.push_str("}}");
    let refused = decode_arguments(text.as_bytes(), &limits()).unwrap_err();
    assert!(matches!(refused.reason(), Reason::TooCostly(_)));
    // the first two are copied, and the rest is ignored
    decode_pair(text.as_bytes(), &limits()).unwrap();

    // as one value, it cannot be written as a tree or converted to fields that each get a copy
    let value = read(&text);
    assert!(value.to_json().is_err());
    assert!(value.clone().deserialize::<serde_json::Value>().is_err());
    assert!(value.deserialize::<Vec<Value>>().is_err());
    // a large text that occurs once is accepted
    let once = Value::from(vec![Value::from("x".repeat(2 * limits().bytes))]);
    once.to_json().unwrap();
    assert_eq!(once.clone().deserialize::<Vec<Value>>().unwrap().len(), 1);

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
    let mut members = vec![(key.as_str(), object(&[])), ("a", reference(&format!(r#"["\"{key}\""]"#)))];
    let keys: Vec<String> = (0..10_000).map(|index| format!("r{index}")).collect();
    members.extend(keys.iter().map(|key| (key.as_str(), reference(r#"["\"a\""]"#))));
    assert!(matches!(reason(&object(&members)), Reason::TooCostly(_)));
}
