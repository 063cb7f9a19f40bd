//! Decoding any input must not panic, and a decoded value must encode to the text that it is decoded from again.

#![no_main]

use chinwag_protocol::value::Value;
use chinwag_protocol::wire::{
    Form, Limits, decode, decode_arguments, decode_pair, decode_plain, encode, encode_arguments, encode_pair,
    encode_within, encoded_len, encoded_len_within,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if let Ok(value) = decode(bytes, &limits) {
        let text = encode(&value);
        let again = decode(text.as_bytes(), &limits).expect("encoded text can be decoded");
        assert_eq!(encode(&again), text);
        assert_eq!(encoded_len(&value), text.len());
        assert_eq!(encoded_len_within(&value, text.len()), Ok(text.len()));
        assert_eq!(encode_within(&value, text.len()).as_ref(), Ok(&text));
        assert!(encode_within(&value, text.len() - 1).is_err());
        let _ = value.to_json();
        let _ = value.clone().deserialize::<serde_json::Value>();
        let part = value.extract(&[]).expect("the whole is a part");
        // 0 and -0 are the same on the wire, so the decoded value may differ from the original
        assert_eq!(encode(&part), text);
        assert_eq!(value.deserialize::<Value>().map(|value| encode(&value)), Ok(text));
    }
    if let Ok(arguments) = decode_arguments(bytes, &limits) {
        // a value that several arguments share is copied, and references can become longer
        let mut unbounded = Limits::default();
        unbounded.written = usize::MAX;
        let text = encode_arguments(&arguments.values, &unbounded).expect("any length is admitted");
        if let Ok(again) = decode_arguments(&text, &limits) {
            assert_eq!(again.form, Form::Typed);
            assert_eq!(encode_arguments(&again.values, &unbounded), Ok(text));
        }
    }
    if let Ok((error, value)) = decode_pair(bytes, &limits) {
        if let Ok(plain) = encode_pair(&error, &value, Form::Plain, &limits) {
            assert!(plain.len() <= limits.written);
            decode_plain(&plain, &limits).expect("the plain form is JSON");
        }
    }
});
