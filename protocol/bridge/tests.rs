//! Tests of both bridges, and of graphs that are taken apart and moved.

use std::collections::{BTreeMap, HashMap};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::value::*;
use crate::wire::{decode, decode_arguments, encode, encode_arguments, encoded_len};

fn read(text: &str) -> Value {
    decode(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_value_is_small() {
    assert!(size_of::<Option<Value>>() <= 32);
}

#[test]
fn keys_are_in_javascript_order() {
    let keys = ["b", "4294967294", "4294967295", "01", "0", "-1", "10", "9", ""];
    let mut object: Object = keys.into_iter().map(|key| (key, 1)).collect();
    let order: Vec<&str> = object.keys().collect();
    assert_eq!(order, ["0", "9", "10", "4294967294", "b", "4294967295", "01", "-1", ""]);
    object.remove("9");
    object.insert("b", 2);
    let order: Vec<EcoString> = object.into_iter().map(|(key, _)| key).collect();
    assert_eq!(order, ["0", "10", "4294967294", "b", "4294967295", "01", "-1", ""]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Subset {
    All,
    Count(u32),
    Between(u8, u8),
    Chosen { by: Function },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Config {
    ip: String,
    port: u16,
    offset: i64,
    large: u64,
    ratio: f64,
    on_start: Option<Function>,
    started: Date,
    last: Option<ErrorValue>,
    subset: Vec<Subset>,
    by_port: BTreeMap<u16, bool>,
    big: BigInt,
    pair: (char, ()),
    anything: Value,
}

fn config() -> Config {
    Config {
        ip: "::1".to_owned(),
        port: 8080,
        offset: -5,
        large: u64::MAX,
        ratio: 0.1,
        on_start: Some(Function::new("(e) => e")),
        started: Date::new(1_708_992_000_123),
        last: Some(ErrorValue::new("boom").caused_by(Value::from(vec![Value::from(Reference::ancestor(1))]))),
        subset: vec![
            Subset::All,
            Subset::Count(3),
            Subset::Between(1, 2),
            Subset::Chosen { by: Function::new("m => m") },
        ],
        by_port: BTreeMap::from([(80, true), (8080, false)]),
        big: "123456789012345678901234567890".parse().unwrap(),
        pair: ('x', ()),
        anything: Object::from_iter([
            ("self", Value::from(Reference::ancestor(1))),
            ("when", Date::INVALID.into()),
            ("run", Function::new("() => 1").into()),
        ])
        .into(),
    }
}

#[test]
fn a_type_is_unchanged_after_conversion_to_a_value_and_back() {
    let value = Value::from_serialize(&config()).unwrap();
    assert_eq!(value.get("large"), Some(&BigInt::from(u64::MAX).into()));
    assert_eq!(value.get("last").unwrap().type_name(), "error");
    assert_eq!(value.get("started").unwrap().type_name(), "date");
    // also through the wire
    let value = read(&encode(&value));
    assert_eq!(value.deserialize::<Config>().unwrap(), config());
}

#[test]
fn a_type_is_unchanged_after_conversion_to_json_and_back() {
    let mut plain = config();
    plain.last = None;
    plain.anything = Value::from(vec![Value::Null, 5.into(), "x".into()]);
    let text = serde_json::to_string(&plain).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), plain);
    assert!(serde_json::to_string(&config()).is_err(), "it holds itself");
}

#[test]
fn values_inside_containers_stay_values() {
    let cyclic = config().anything;
    let many = vec![Some(cyclic.clone()), None];
    let value = Value::from_serialize(&many).unwrap();
    assert_eq!(value.deserialize::<Vec<Option<Value>>>().unwrap(), many);
    assert_eq!(cyclic.clone().deserialize::<Value>().unwrap(), cyclic);
    // each field gets a copy of a shared value
    let shared = Object::from_iter([("a", Value::from(vec![Value::from(1)])), ("b", Reference::new(1, ["a"]).into())]);
    let fields: HashMap<String, Value> = Value::from(shared.clone()).deserialize().unwrap();
    assert_eq!(fields["a"], fields["b"]);
    let fields: HashMap<String, Vec<u8>> = Value::from(shared).deserialize().unwrap();
    assert_eq!(fields["b"], [1]);
}

#[test]
fn a_value_that_holds_itself_does_not_convert_to_a_tree() {
    #[derive(Debug, Deserialize)]
    struct Link {
        #[serde(rename = "self")]
        _next: Option<Box<Self>>,
    }
    let error = config().anything.deserialize::<Link>().unwrap_err();
    assert_eq!(*error.mismatch(), Mismatch::Circular);
    assert_eq!(error.path(), ["self".into()]);
    assert!(config().anything.to_json().is_err());
    // also through a cause, which is a root of its own
    let error = ErrorValue::new("x").caused_by(config().anything);
    assert!(Value::from(error).to_json().is_err());
}

#[test]
fn a_mismatch_names_the_types_and_the_position() {
    fn error<T: serde::de::DeserializeOwned>(value: impl Into<Value>) -> String {
        match value.into().deserialize::<T>() {
            Ok(_) => panic!("it was taken"),
            Err(error) => error.to_string(),
        }
    }
    assert_eq!(error::<u16>(70_000), "expected u16, found number 70000");
    assert_eq!(error::<u16>(-1), "expected u16, found number -1");
    assert_eq!(error::<u16>(1.5), "expected u16, found number 1.5");
    assert_eq!(error::<u16>(f64::NAN), "expected u16, found number NaN");
    assert_eq!(error::<u16>(()), "expected u16, found null");
    assert_eq!(error::<String>(5), "expected a string, found number 5");
    assert_eq!(error::<Function>("x"), "expected a function, found string");
    assert_eq!(error::<Date>(5), "expected a date, found number");
    assert_eq!(error::<ErrorValue>(Object::new()), "expected an error, found object");
    assert_eq!(error::<Config>(Object::new()), r#""ip" is missing"#);
    let config = Object::from_iter([("subset", vec![Value::from("All"), "Some".into()])]);
    assert_eq!(
        error::<BTreeMap<String, Vec<Subset>>>(config),
        "at .subset[1]: unknown variant `Some`, expected one of `All`, `Count`, `Between`, `Chosen`"
    );
    assert!(Value::from_serialize(&BTreeMap::from([(vec![1], 1)])).is_err());
}

#[test]
fn null_and_undefined_are_none() {
    for nullish in [Value::Null, Value::Undefined] {
        assert_eq!(nullish.clone().deserialize::<Option<u8>>().unwrap(), None);
        assert_eq!(nullish.clone().deserialize::<Option<Value>>().unwrap(), None);
        nullish.clone().deserialize::<()>().unwrap();
        assert_eq!(nullish.clone().deserialize::<Value>().unwrap(), nullish);
    }
    let mut holes = Array::new();
    holes.push_hole();
    holes.push(1);
    let read: Vec<Option<u8>> = Value::from(holes).deserialize().unwrap();
    assert_eq!(read, [None, Some(1)]);
}

#[test]
fn integers_beyond_two_to_the_53_are_bigints() {
    assert_eq!(Value::from(1_i64 << 53), Value::Number(9_007_199_254_740_992.0));
    assert_eq!(Value::from((1_i64 << 53) + 1).type_name(), "bigint");
    assert_eq!(Value::from(i64::MIN).deserialize::<i64>().unwrap(), i64::MIN);
    assert_eq!(Value::from_serialize(&i128::MIN).unwrap().deserialize::<i128>().unwrap(), i128::MIN);
    for (text, canonical) in [("007", "7"), ("-0", "0"), ("-012", "-12"), ("000", "0")] {
        assert_eq!(text.parse::<BigInt>().unwrap().as_str(), canonical);
    }
}

#[test]
fn values_have_their_plain_forms() {
    let error = ErrorValue::new("boom").caused_by(ErrorValue::new("inner").named("TypeError"));
    let mut array = Array::from(vec![Value::Undefined, f64::NAN.into(), 1.5.into()]);
    array.push_hole();
    array.push(Date::new(0));
    array.push(Value::Native("console.log".into()));
    array.push(BigInt::from(u64::MAX));
    array.push(Reference::new(1, [2]));
    let value = Value::from(Object::from_iter([
        ("error", Value::from(error)),
        ("array", array.into()),
        ("run", Function::new("() => 1").into()),
    ]));
    let expected = serde_json::json!({
        "error": {
            "name": "Error", "message": "boom", "cause": {"name": "TypeError", "message": "inner"},
        },
        "array": [
            null, null, 1.5, null, "1970-01-01T00:00:00.000Z", "console.log", "18446744073709551615", 1.5,
        ],
        "run": "() => 1",
    });
    assert_eq!(value.to_json().unwrap(), expected);
    assert_eq!(Value::from_json(expected.clone()).to_json().unwrap(), expected);
    assert_eq!(Value::from(8080).to_json().unwrap().to_string(), "8080");
}

/// Any value without references.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i128>().prop_map(|integer| Value::BigInt(integer.into())),
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(|milliseconds| Date::new(milliseconds >> 10).into()),
        any::<String>().prop_map(|source| Function::new(source).into()),
        any::<String>().prop_map(|text| Value::Native(text.into())),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        let key = prop_oneof![any::<String>(), any::<u32>().prop_map(|index| index.to_string())];
        prop_oneof![
            vec(proptest::option::of(inner.clone()), 0..8).prop_map(|mut slots| {
                while matches!(slots.last(), Some(None)) {
                    slots.pop();
                }
                Array::from_slots(slots).into()
            }),
            vec((key, inner.clone()), 0..8).prop_map(|members| Object::from_iter(members).into()),
            (any::<String>(), any::<String>(), inner)
                .prop_map(|(name, message, cause)| { ErrorValue::new(message).named(name).caused_by(cause).into() }),
        ]
    })
}

/// A graph as lists of edges: node `i` is an object whose member `k` is a node, by number.
type Graph = Vec<BTreeMap<u8, usize>>;

fn graph() -> impl Strategy<Value = Graph> {
    (1..8_usize).prop_flat_map(|nodes| vec(btree_map(0..4_u8, 0..nodes, 0..4), nodes))
}

/// The typed form of some nodes of a graph as the elements of an array, written as JavaScript does: depth first, a
/// node seen before by its path.
fn typed(graph: &Graph, roots: &[usize]) -> String {
    fn write(graph: &Graph, node: usize, path: &str, seen: &mut HashMap<usize, String>) -> String {
        if let Some(path) = seen.get(&node) {
            return format!(r#"{{"type":"reference","value":[{path}]}}"#);
        }
        seen.insert(node, path.to_owned());
        let members = graph[node].iter().map(|(key, &next)| {
            let path = format!(r#"{path},"\"k{key}\"""#);
            format!(r#""k{key}":{}"#, write(graph, next, &path, seen))
        });
        let members = members.collect::<Vec<_>>().join(",");
        format!(r#"{{"type":"object","value":{{{members}}}}}"#)
    }
    let mut seen = HashMap::new();
    let elements = roots.iter().enumerate().map(|(index, &root)| {
        let text = write(graph, root, &index.to_string(), &mut seen);
        format!(r#""{index}":{text}"#)
    });
    let elements = elements.collect::<Vec<_>>().join(",");
    format!(r#"{{"type":"array","value":{{{elements}}}}}"#)
}

/// Returns whether `value`, as a graph, is the graph from `root` on: the same members, and two paths lead to the same
/// object if and only if they lead to the same node.
fn is_graph(value: &Value, graph: &Graph, root: usize) -> bool {
    fn walk(
        whole: &Value,
        path: &mut Vec<Segment>,
        graph: &Graph,
        node: usize,
        known: &mut HashMap<usize, *const Value>,
    ) -> bool {
        let Some(value) = whole.at(path) else {
            return false;
        };
        if let Some(&seen) = known.get(&node) {
            return std::ptr::eq(seen, value);
        }
        if known.values().any(|&other| std::ptr::eq(other, value)) {
            return false;
        }
        known.insert(node, value);
        let same_keys = value.as_object().is_some_and(|object| object.len() == graph[node].len());
        same_keys
            && graph[node].iter().all(|(key, &next)| {
                path.push(Segment::Key(format!("k{key}")));
                let same = walk(whole, path, graph, next, known);
                path.pop();
                same
            })
    }
    walk(value, &mut Vec::new(), graph, root, &mut HashMap::new())
}

proptest! {
    #[test]
    fn trees_are_unchanged_by_the_wire(tree in tree()) {
        let text = encode(&tree);
        prop_assert_eq!(encoded_len(&tree), text.len());
        let back = read(&text);
        prop_assert_eq!(&back, &tree);
        prop_assert_eq!(encode(&back), text);
    }

    #[test]
    fn trees_are_unchanged_by_serde(tree in tree()) {
        let value = Value::from_serialize(&(1, &tree)).unwrap();
        let (_, back) = value.deserialize::<(u8, Value)>().unwrap();
        prop_assert_eq!(back, tree);
    }

    #[test]
    fn keys_stay_in_javascript_order(keys in vec(prop_oneof![any::<u32>().prop_map(|key| key.to_string()), "[a-z]{0,2}"], 0..20)) {
        let object: Object = keys.iter().map(|key| (key.clone(), 1)).collect();
        let index = |key: &str| number::array_index(key);
        let mut expected: Vec<&str> = Vec::new();
        for key in &keys {
            if !expected.contains(&key.as_str()) {
                expected.push(key);
            }
        }
        // a stable sort: keys that are not indices stay in order, at the end
        expected.sort_by_key(|key| index(key).map_or(u64::MAX, u64::from));
        prop_assert_eq!(object.keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn moved_graphs_keep_their_structure(graph in graph(), other in any::<prop::sample::Index>()) {
        let second = other.index(graph.len());
        let text = typed(&graph, &[0, second]);
        // taken out of a message, each argument is the whole graph from its root
        let arguments = decode_arguments(text.as_bytes(), &Limits::default()).unwrap().values;
        prop_assert!(is_graph(&arguments[0], &graph, 0), "{}", text);
        prop_assert!(is_graph(&arguments[1], &graph, second), "{}", text);
        prop_assert_eq!(encoded_len(&arguments[1]), encode(&arguments[1]).len());
        // stored deep inside another value, sent, and taken out by the receiver
        let stored = Object::from_iter([("deep", vec![Value::Null, arguments[1].clone()])]);
        let sent = encode_arguments(&[Value::Null, stored.into()], &Limits::default()).unwrap();
        let received = decode_arguments(&sent, &Limits::default()).unwrap().values;
        let part = received[1].extract(&["deep".into(), 1.into()]).unwrap();
        prop_assert!(is_graph(&part, &graph, second));
        prop_assert_eq!(&part, &arguments[1]);
        // through a type of a service
        let value = Value::from_serialize(&[&part]).unwrap();
        let [back] = value.deserialize::<[Value; 1]>().unwrap();
        prop_assert_eq!(back, part);
    }
}
