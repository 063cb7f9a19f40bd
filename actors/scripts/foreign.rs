//! Objects of the language that have no form on the wire. The JavaScript reference sends each of them as `{}`, so that what
//! they hold is lost without notice.

use rquickjs::{Object as JsObject, Result, Value as Js, qjs};

use super::prelude::Prelude;

/// An object that cannot be sent: what it is, and what to send instead.
pub(super) struct Foreign {
    pub what: &'static str,
    pub instead: &'static str,
}

/// Recognizes an object by its class, which is all that it reads.
type Test = unsafe fn(qjs::JSValue) -> bool;

/// Objects of the language, by the test that recognizes them: what they are, and what to send instead.
#[rustfmt::skip]
const KINDS: [(Test, &str, &str); 10] = [
    (|value| unsafe { qjs::JS_IsMap(value) }, "a Map", "Object.fromEntries(map) or [...map]"),
    (|value| unsafe { qjs::JS_IsSet(value) }, "a Set", "[...set]"),
    (|value| unsafe { qjs::JS_IsWeakMap(value) }, "a WeakMap", "a plain object"),
    (|value| unsafe { qjs::JS_IsWeakSet(value) }, "a WeakSet", "an array"),
    (|value| unsafe { qjs::JS_IsWeakRef(value) }, "a WeakRef", "what it refers to"),
    (|value| unsafe { qjs::JS_IsRegExp(value) }, "a RegExp", "its source and flags"),
    (|value| unsafe { qjs::JS_IsPromise(value) }, "a Promise", "what it resolves to, with await"),
    (|value| unsafe { qjs::JS_GetTypedArrayType(value) >= 0 }, "a typed array", "Array.from(array)"),
    (|value| unsafe { qjs::JS_IsArrayBuffer(value) }, "an ArrayBuffer", "Array.from(new Uint8Array(buffer))"),
    (|value| unsafe { qjs::JS_IsDataView(value) }, "a DataView", "Array.from(new Uint8Array(view.buffer))"),
];

/// Returns why an object cannot be sent as its own properties, unless it can: a plain object, an instance of a class, or the
/// `arguments` of a function. The object is no proxy, function, array, date or error.
pub(super) fn foreign<'js>(prelude: &Prelude<'js>, value: &Js<'js>) -> Result<Option<Foreign>> {
    // SAFETY: the calls only read the class of the value
    let class = |value: &Js<'js>| unsafe { qjs::JS_GetClassID(value.as_raw()) };
    let plain = JsObject::new(prelude.ctx().clone())?;
    if class(value) == class(&plain) {
        return Ok(None);
    }
    // SAFETY: the tests only read the class of the value
    let known = KINDS.iter().find(|(test, ..)| unsafe { test(value.as_raw()) });
    if let Some(&(_, what, instead)) = known {
        return Ok(Some(Foreign { what, instead }));
    }
    let samples: JsObject = prelude.function("samples")?.call(())?;
    let is_like = |name| -> Result<bool> {
        let samples: Vec<Js> = samples.get(name)?;
        Ok(samples.iter().any(|sample| class(sample) == class(value)))
    };
    if is_like("arguments")? {
        return Ok(None);
    }
    Ok(Some(if is_like("boxed")? {
        Foreign { what: "an object around a primitive value", instead: "its valueOf()" }
    } else {
        Foreign { what: "an iterator, a generator or another special object", instead: "an array or a plain object" }
    }))
}
