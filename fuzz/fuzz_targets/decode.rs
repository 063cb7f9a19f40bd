//! Decoding any input must not panic, and a decoded value must encode to the text that it is decoded from again.

#![no_main]

use chinwag_protocol::value::Value;
use chinwag_protocol::wire::{
    Form, Limits, decode, decode_arguments, decode_pair, decode_plain, encode, encode_arguments,
    encode_pair,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if let Ok(value) = decode(bytes, &limits) {
        let text = encode(&value);
        let again = decode(text.as_bytes(), &limits).expect("encoded text can be decoded");
        assert_eq!(encode(&again), text);
        let _ = value.to_json();
        let _ = value.clone().deserialize::<serde_json::Value>();
        let part = value.extract(&[]).expect("the whole is a part");
        // 0 and -0 are the same on the wire, so the decoded value may differ from the original
        assert_eq!(encode(&part), text);
        assert_eq!(value.deserialize::<Value>().map(|value| encode(&value)), Ok(text));
    }
    if let Ok(arguments) = decode_arguments(bytes, &limits) {
        let text = encode_arguments(&arguments.values);
        if let Ok(again) = decode_arguments(&text, &limits) {
            assert_eq!(again.form, Form::Typed);
            assert_eq!(encode_arguments(&again.values), text);
        }
    }
    if let Ok((error, value)) = decode_pair(bytes, &limits) {
        let plain = encode_pair(&error, &value, Form::Plain);
        decode_plain(&plain, &limits).expect("the plain form is JSON");
    }
});
