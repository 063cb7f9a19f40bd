//! The bound on what is written: it is exact, and a writer stops where it is reached.

use proptest::prelude::*;

use super::*;
use crate::stringify::Sink;

/// Accepts a number of bytes, and fails the test if anything follows the first refusal.
struct Strict {
    left: usize,
    last: Option<u8>,
    full: bool,
}

impl Strict {
    fn new(most: usize) -> Self {
        Self { left: most, last: None, full: false }
    }
}

impl Sink for Strict {
    type Full = Full;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        assert!(!self.full, "a writer goes on although its sink is full");
        self.full = bytes.len() > self.left;
        if self.full {
            return Err(Full);
        }
        self.left -= bytes.len();
        self.last = bytes.last().copied().or(self.last);
        Ok(())
    }

    fn last(&self) -> Option<u8> {
        self.last
    }
}

fn too_long<T>(limit: usize) -> Result<T, EncodeError> {
    Err(EncodeError::TooLong { limit })
}

fn written(most: usize) -> Limits {
    Limits { written: most, ..limits() }
}

/// Checks that every way to write a value admits exactly its length.
fn check_bound(value: &Value) {
    let text = encode(value);
    let length = text.len();
    assert_eq!(encoded_len(value), length);
    assert_eq!(encoded_len_within(value, length), Ok(length));
    assert_eq!(encoded_len_within(value, length - 1), too_long(length - 1));
    assert_eq!(encode_within(value, length - 1), too_long(length - 1));
    assert_eq!(encode_within(value, length), Ok(text));

    let arguments = std::slice::from_ref(value);
    let whole = encode_arguments(arguments, &limits()).unwrap();
    assert_eq!(encode_arguments(arguments, &written(whole.len())).as_ref(), Ok(&whole));
    assert_eq!(encode_arguments(arguments, &written(whole.len() - 1)), too_long(whole.len() - 1));

    let pair = |form, most| encode_pair(&Value::Null, value, form, &written(most));
    let has_plain_form = encode_plain_within(value, usize::MAX).is_ok();
    // an error takes the place of a value without plain form
    for form in [Form::Typed, Form::Plain].into_iter().take(1 + usize::from(has_plain_form)) {
        let whole = pair(form, usize::MAX).unwrap();
        assert_eq!(pair(form, whole.len()).as_ref(), Ok(&whole), "{form:?}");
        assert_eq!(pair(form, whole.len() - 1), too_long(whole.len() - 1), "{form:?}");
    }
    for write in [encode_plain_within, encode_pretty_within] {
        match write(value, usize::MAX) {
            Ok(text) => {
                assert_eq!(write(value, text.len() - 1), too_long(text.len() - 1));
                assert_eq!(write(value, text.len()), Ok(text));
            }
            // a cycle has no plain form
            Err(error) => assert!(matches!(error, EncodeError::NoPlainForm(_)), "{error}"),
        }
    }
}

#[test]
fn every_published_value_is_written_within_exactly_its_length() {
    for (name, text) in vectors() {
        let value = read(&text);
        check_bound(&value);
        for most in 0..encode(&value).len() {
            assert_eq!(encode_within(&value, most), too_long(most), "{name}");
            assert_eq!(typed::value(&value, &mut Strict::new(most)), Err(Full), "{name}");
        }
    }
}

/// A value in which every one of `count` members refers to the end of a deep path.
fn deep_references(count: u32, depth: u32, key: &str) -> Value {
    let mut deep = Value::from(Object::new());
    for _ in 0..depth {
        deep = Object::from_iter([(key, deep)]).into();
    }
    let path = |up| Reference::new(up, std::iter::once("deep").chain((0..depth).map(|_| key)));
    let references: Array = (0..count).map(|_| path(2)).collect();
    Object::from_iter([("deep", deep), ("references", references.into())]).into()
}

/// The same in much less memory: the references are short, because they are below the same path.
fn short_references(count: u32, depth: u32, key: &str) -> Value {
    let references: Array = (0..count).map(|_| Reference::new(2, ["target"])).collect();
    let mut value: Value =
        Object::from_iter([("target", Value::from(Object::new())), ("references", references.into())]).into();
    for _ in 0..depth {
        value = Object::from_iter([(key, value)]).into();
    }
    value
}

#[test]
fn the_length_of_deep_references_is_counted_and_written_in_full() {
    for value in [deep_references(3, 5, "k\"ey"), short_references(3, 5, "k\"ey"), short_references(2, 0, "")] {
        check_bound(&value);
        assert_eq!(read(&encode(&value)), value);
    }
}

#[test]
fn a_writer_stops_in_the_middle_of_a_graph_of_deep_references() {
    let key = "k".repeat(1_000);
    // the texts would have 20 MB and 10 GB
    for (value, most) in
        [(deep_references(200, 100, &key), 1 << 20), (short_references(20_000, 500, &key), limits().written)]
    {
        assert_eq!(encode_within(&value, most), too_long(most));
        assert_eq!(encoded_len_within(&value, most), too_long(most));
        assert_eq!(typed::value(&value, &mut Strict::new(most)), Err(Full));
        let arguments = std::slice::from_ref(&value);
        assert_eq!(encode_arguments(arguments, &written(most)), too_long(most));
        assert_eq!(encode_pair(&Value::Null, &value, Form::Typed, &written(most)), too_long(most));
        // it is no answer as the cause of an error either
        let error = ErrorValue::new("thrown").caused_by(value).into();
        assert_eq!(encode_pair(&error, &Value::Null, Form::Typed, &written(most)), too_long(most));
    }
}

/// In plain form each reference shows `{}`, so what grows is the work to find the targets.
#[test]
fn the_plain_form_follows_references_within_a_budget() {
    let key = "k".repeat(1_000);
    for value in [deep_references(200, 100, &key), short_references(20_000, 100, &key)] {
        let refused = encode_plain_within(&value, usize::MAX).unwrap_err();
        assert!(
            matches!(&refused, EncodeError::NoPlainForm(why) if why.to_string().contains("too large")),
            "{refused}"
        );
        let answer = encode_pair(&Value::Null, &value, Form::Plain, &limits()).unwrap();
        assert!(String::from_utf8(answer).unwrap().contains("no plain form"));
        assert!(value.deserialize::<serde_json::Value>().is_err());
    }
    // as many short paths are followed
    let short = short_references(20_000, 10, "k");
    assert!(encode_plain_within(&short, limits().written).is_ok());
}

#[test]
fn a_plain_answer_stops_at_the_limit_even_if_it_would_never_end() {
    // 2^40 leaves
    let mut doubled = Value::from(vec![Value::from("x".repeat(100))]);
    for _ in 0..40 {
        doubled = Value::from(vec![doubled, Reference::new(1, [0]).into()]);
    }
    assert_eq!(encode_pair(&Value::Null, &doubled, Form::Plain, &written(10_000)), too_long(10_000));
    assert_eq!(encode_pretty_within(&doubled, 10_000), too_long(10_000));
}

/// Values with references, most of which lead somewhere.
fn values() -> impl Strategy<Value = Value> {
    let key = "[a-c\"\\\\\u{1}é0-2]{0,3}";
    let segment = prop_oneof![(0u32..4).prop_map(crate::value::Segment::from), key.prop_map(Into::into)];
    let leaf = prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}|[\u{0}-\u{20}\"\\\\]{0,8}".prop_map(Value::from),
        any::<i64>().prop_map(|milliseconds| Date::new(milliseconds / 1_000).into()),
        "\\PC{0,20}".prop_map(|source| Function::new(source).into()),
        (0u32..4, prop::collection::vec(segment, 0..4)).prop_map(|(up, path)| Reference::new(up, path).into()),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let slots = prop::collection::vec(prop::option::weighted(0.9, inner.clone()), 0..6);
        let array = slots.prop_map(|slots| Value::from(Array::from_slots(slots)));
        let object = prop::collection::vec((key, inner.clone()), 0..6);
        prop_oneof![
            array,
            object.prop_map(|members| Object::from_iter(members).into()),
            inner.prop_map(|cause| ErrorValue::new("e").caused_by(cause).into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_written_within_exactly_its_length(value in values(), most in 0usize..2_000) {
        check_bound(&value);
        let fits = encode(&value).len() <= most;
        prop_assert_eq!(typed::value(&value, &mut Strict::new(most)).is_ok(), fits);
    }
}
