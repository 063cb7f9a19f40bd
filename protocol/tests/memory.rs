//! The estimate of the memory of a value, compared with what the allocator handed out.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use chinwag_protocol::value::{Array, BigInt, Date, ErrorValue, Function, Object, Reference, Value};
use chinwag_protocol::wire::{Limits, decode, decode_plain, encode};

thread_local! {
    /// The bytes that this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(layout.size()));
        // SAFETY: as the caller promises
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: as the caller promises
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Makes a value, and checks that the estimate is at least nine tenths of what it holds and at most half more.
fn check(what: &str, make: impl FnOnce() -> Value) {
    let before = HELD.get();
    let value = make();
    let held = HELD.get() - before + size_of::<Value>();
    let estimate = value.memory_bytes();
    assert!(estimate * 10 >= held * 9 && estimate * 2 <= held * 3, "{what}: {estimate} for {held}");
}

fn number(number: u32) -> Value {
    Value::from(number)
}

#[test]
fn the_estimate_is_close_to_what_the_allocator_handed_out() {
    let text = |bytes: usize| "x".repeat(bytes);
    check("nothing", || Value::Undefined);
    check("a number", || number(7));
    check("a date", || Date::new(7).into());
    for bytes in [0, 1, 15, 16, 17, 100, 10_000] {
        check("text", || text(bytes).into());
        check("a function", || Function::new(text(bytes)).into());
        check("a native function", || Value::Native(text(bytes).into()));
        check("an error", || ErrorValue::new(text(bytes)).caused_by(text(bytes)).into());
    }
    check("an integer", || text(0).parse::<BigInt>().unwrap_or_else(|_| "1".repeat(1_000).parse().unwrap()).into());
    for count in [0, 1, 2, 3, 4, 7, 8, 9, 14, 15, 100, 1_000, 30_000] {
        check("numbers", || (0..count).map(number).collect::<Array>().into());
        check("holes", || {
            let mut array = Array::new();
            (0..count).for_each(|_| array.push_hole());
            array.into()
        });
        check("empty objects", || (0..count).map(|_| Object::new()).collect::<Array>().into());
        check("objects of one key", || (0..count).map(|n| Object::from_iter([("key", n)])).collect::<Array>().into());
        check("objects of three keys", || {
            let one = |n: u32| Object::from_iter([("key", n), ("a longer key than most", n), ("c", n)]);
            (0..count).map(one).collect::<Array>().into()
        });
        check("members", || (0..count).map(|n| (format!("k{n}"), n)).collect::<Object>().into());
        check("members of long names", || {
            (0..count).map(|n| (format!("a key that is not held in place {n}"), n)).collect::<Object>().into()
        });
        check("ascending indices", || (0..count).map(|n| (n.to_string(), n)).collect::<Object>().into());
        check("references", || {
            let references = (0..count).map(|_| Reference::new(2, ["a key", "another key that is longer"]));
            references.collect::<Array>().into()
        });
    }
}

#[test]
fn the_estimate_is_close_for_values_that_were_read() {
    let limits = Limits::default();
    let empty = format!("[{}{{}}]", "{},".repeat(99_999));
    check("empty objects", || decode_plain(empty.as_bytes(), &limits).unwrap());
    let members = format!("[{}{{}}]", r#"{"name":"a longer name than most","port":8080,"12":null},"#.repeat(10_000));
    check("members", || decode_plain(members.as_bytes(), &limits).unwrap());
    let sparse = r#"{"type":"array","value":{"99999":{"type":"null","value":""}}}"#;
    check("a hole of 100,000 elements", || decode(sparse.as_bytes(), &limits).unwrap());
    let shared = Value::from(vec![Object::new().into(), Value::from(Reference::new(1, [0]))]);
    let shared = encode(&Value::from(vec![shared; 10_000]));
    check("references", || decode(shared.as_bytes(), &limits).unwrap());
}
