//! Reads the properties of objects without running code: neither getters nor the traps of a proxy.

use std::mem::MaybeUninit;

use rquickjs::{Ctx, Error, Object as JsObject, Result, Value as Js, qjs};

/// What an object has under a key.
pub(super) enum Property<'js> {
    /// Nothing.
    Missing,
    /// A value.
    Data(Js<'js>),
    /// A getter or setter, or a proxy that would be asked. Holds the getter, or `undefined`.
    Code(Js<'js>),
}

/// The key of a property.
#[derive(Clone, Copy)]
pub(super) enum Key<'a, 'js> {
    /// An index of an array.
    Index(u32),
    /// A key that the object listed.
    Listed(&'a Js<'js>),
    /// A name that is known here.
    Name(&'static str),
}

/// Returns what an object that is no proxy itself has under a key.
///
/// # Errors
/// If memory runs out.
pub(super) fn own<'js>(object: &JsObject<'js>, key: Key<'_, 'js>) -> Result<Property<'js>> {
    let ctx = object.ctx();
    let context = ctx.as_raw().as_ptr();
    // SAFETY: the context is alive and locked by this thread, and everything that the calls return is owned and freed here
    // or handed to a `Value` that frees it. An atom is only made from a string or a number, which runs no code.
    unsafe {
        let atom = match key {
            Key::Index(index) => qjs::JS_NewAtomUInt32(context, index),
            Key::Listed(key) => qjs::JS_ValueToAtom(context, key.as_raw()),
            Key::Name(name) => qjs::JS_NewAtomLen(context, name.as_ptr().cast(), name.len() as _),
        };
        let mut found = MaybeUninit::<qjs::JSPropertyDescriptor>::uninit();
        let outcome = qjs::JS_GetOwnProperty(context, found.as_mut_ptr(), object.as_raw(), atom);
        qjs::JS_FreeAtom(context, atom);
        match outcome {
            0 => Ok(Property::Missing),
            1 => {
                let found = found.assume_init();
                let part = |raw| Js::from_raw(Ctx::clone(ctx), raw);
                let (value, getter, _setter) = (part(found.value), part(found.getter), part(found.setter));
                let is_code = found.flags & qjs::JS_PROP_GETSET as i32 != 0;
                Ok(if is_code { Property::Code(getter) } else { Property::Data(value) })
            }
            _ => Err(Error::Exception),
        }
    }
}

/// Returns what an object has under a name, itself or through its prototypes.
///
/// # Errors
/// As [`own`].
pub(super) fn inherited<'js>(object: &JsObject<'js>, name: &'static str) -> Result<Property<'js>> {
    let mut holder = object.clone();
    loop {
        if holder.as_value().is_proxy() {
            return Ok(Property::Code(Js::new_undefined(object.ctx().clone())));
        }
        let found = own(&holder, Key::Name(name))?;
        if !matches!(found, Property::Missing) {
            return Ok(found);
        }
        match holder.get_prototype() {
            Some(prototype) => holder = prototype,
            None => return Ok(Property::Missing),
        }
    }
}
