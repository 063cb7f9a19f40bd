//! Converts values to JavaScript values and back.
//!
//! Both directions preserve shared and cyclic structure: a reference becomes the object that it refers to, and an
//! object that occurs a second time becomes a reference.
//!
//! # What is sent of an object
//!
//! Its own enumerable properties, as the JavaScript reference sends them, of an instance of a class as well. Reading them
//! runs no code of the caller. A getter and a `Proxy` are therefore errors (the reference calls getters, and the traps of a
//! proxy). So are a `Map`, a `Set`, a `RegExp` and the other objects whose content is not in their properties, and symbols: the
//! reference sends them as `{}`, or breaks. The error names the path to the value, such as `[0].items.index`, and what to send
//! instead.

use std::collections::HashMap;

use chinwag_protocol::value::{Array, Date, ErrorValue, Function, Object, Reference, Segment, Value};
use rquickjs::{
    Array as JsArray, Coerced, Ctx, Error, Exception, Filter, IntoAtom, Object as JsObject, Result, Value as Js,
    object::Property, qjs,
};

use super::{
    foreign::{Foreign, foreign},
    prelude::Prelude,
    properties::{self, Key, Property as Found},
    settings::ScriptSettings,
};

/// The deepest nesting of a value, which is also that of the wire.
const DEPTH: usize = 512;

/// The most digits of an integer that enters the engine. QuickJS takes time quadratic in their number to read one.
const DIGITS: usize = 10_000;

/// Makes the JavaScript value of a value.
pub(super) fn to_js<'js>(prelude: &Prelude<'js>, value: &Value) -> Result<Js<'js>> {
    let mut writer = Writer { prelude, made: HashMap::new(), path: Vec::new(), pending: Vec::new() };
    let root = writer.write(value)?;
    let Writer { mut made, pending, .. } = writer;
    for Pending { holder, path } in pending {
        let Some(target) = value.at(&path) else { continue };
        let address = std::ptr::from_ref(target);
        let target = match made.get(&address) {
            Some(made) => made.clone(),
            None => {
                let made_now = to_js(prelude, target)?;
                made.insert(address, made_now.clone());
                made_now
            }
        };
        match holder {
            Holder::Array(array, index) => define(array.as_object(), index as u32, target)?,
            Holder::Object(object, key) => define(&object, key.as_str(), target)?,
        }
    }
    Ok(root)
}

struct Writer<'a, 'js> {
    prelude: &'a Prelude<'js>,
    /// The JavaScript values of everything that a reference can refer to, by address.
    made: HashMap<*const Value, Js<'js>>,
    /// The path from the root to the value that is being written.
    path: Vec<Segment>,
    pending: Vec<Pending<'js>>,
}

/// A reference that is resolved once everything else is made.
struct Pending<'js> {
    holder: Holder<'js>,
    path: Vec<Segment>,
}

enum Holder<'js> {
    Array(JsArray<'js>, usize),
    Object(JsObject<'js>, String),
}

impl<'js> Writer<'_, 'js> {
    fn write(&mut self, value: &Value) -> Result<Js<'js>> {
        let ctx = self.prelude.ctx();
        if self.path.len() > DEPTH {
            return Err(Exception::throw_range(ctx, &format!("a value is nested deeper than {DEPTH} levels")));
        }
        let js = match value {
            Value::Undefined | Value::Reference(_) => return Ok(Js::new_undefined(ctx.clone())),
            Value::Null => return Ok(Js::new_null(ctx.clone())),
            Value::Boolean(boolean) => return Ok(Js::new_bool(ctx.clone(), *boolean)),
            Value::Number(number) => return Ok(Js::new_number(ctx.clone(), *number)),
            Value::String(text) => return text_into_js(ctx, text),
            Value::BigInt(integer) if integer.as_str().len() > DIGITS => {
                return Err(Exception::throw_range(ctx, &format!("an integer has more than {DIGITS} digits")));
            }
            Value::BigInt(integer) => return self.prelude.function("bigint")?.call((integer.as_str(),)),
            Value::Date(date) => {
                let time = date.milliseconds().map_or(f64::NAN, |milliseconds| milliseconds as f64);
                self.prelude.function("date")?.call((time,))?
            }
            Value::Error(error) => {
                let cause = to_js(self.prelude, &error.cause)?;
                let error = (text_into_js(ctx, &error.name)?, text_into_js(ctx, &error.message)?, cause);
                self.prelude.function("error")?.call(error)?
            }
            Value::Function(function) => self.prelude.compile_part(function.source())?,
            Value::Native(path) => self.prelude.function("native")?.call((path.as_str(),))?,
            Value::Array(array) => {
                let made = JsArray::new(ctx.clone())?;
                self.made.insert(std::ptr::from_ref(value), made.clone().into_value());
                for (index, slot) in array.iter().enumerate() {
                    let Some(element) = slot else { continue };
                    self.path.push(Segment::Index(index as u32));
                    match self.refers(element) {
                        Some(path) => self.pending.push(Pending { holder: Holder::Array(made.clone(), index), path }),
                        None => define(made.as_object(), index as u32, self.write(element)?)?,
                    }
                    self.path.pop();
                }
                if array.iter().next_back() == Some(None) {
                    made.as_object().set("length", array.len())?;
                }
                return Ok(made.into_value());
            }
            Value::Object(object) => {
                let made = JsObject::new(ctx.clone())?;
                self.made.insert(std::ptr::from_ref(value), made.clone().into_value());
                for (key, member) in object.iter() {
                    self.path.push(Segment::Key(key.to_owned()));
                    match self.refers(member) {
                        Some(path) => {
                            // sets the key now, so that the order of keys is kept
                            define(&made, key, Js::new_undefined(ctx.clone()))?;
                            let holder = Holder::Object(made.clone(), key.to_owned());
                            self.pending.push(Pending { holder, path });
                        }
                        None => define(&made, key, self.write(member)?)?,
                    }
                    self.path.pop();
                }
                return Ok(made.into_value());
            }
        };
        self.made.insert(std::ptr::from_ref(value), js.clone());
        Ok(js)
    }

    /// Returns the path from the root to the target, if the value is a reference.
    fn refers(&self, value: &Value) -> Option<Vec<Segment>> {
        let Value::Reference(reference) = value else { return None };
        let up = usize::try_from(reference.up).ok()?;
        let base = self.path.get(..self.path.len().checked_sub(up)?)?;
        Some(base.iter().chain(&reference.path).cloned().collect())
    }
}

/// Sets an own property, even if its name is `__proto__` or a prototype has a setter for it.
fn define<'js>(object: &JsObject<'js>, key: impl IntoAtom<'js>, value: Js<'js>) -> Result<()> {
    object.prop(key, Property::from(value).writable().enumerable().configurable())
}

pub(super) fn text_into_js<'js>(ctx: &Ctx<'js>, text: &str) -> Result<Js<'js>> {
    rquickjs::String::from_str(ctx.clone(), text).map(rquickjs::String::into_value)
}

/// Makes the value of a JavaScript value. Runs no code.
///
/// # Errors
/// Throws a `RangeError` if it is larger or nested deeper than [`ScriptSettings`] allow, and a `TypeError` if a part of it
/// cannot be sent.
pub(super) fn to_value<'js>(prelude: &Prelude<'js>, settings: &ScriptSettings, value: &Js<'js>) -> Result<Value> {
    let mut budget = Budget { values: settings.values, bytes: settings.bytes };
    read_root(prelude, &mut budget, 0, String::new(), value)
}

fn read_root<'js>(
    prelude: &Prelude<'js>,
    budget: &mut Budget,
    depth: usize,
    base: String,
    value: &Js<'js>,
) -> Result<Value> {
    let (seen, containers, copies) = (HashMap::new(), Vec::new(), Vec::new());
    Reader { prelude, budget, seen, containers, copies, depth, base }.read(value, None)
}

/// How many values and bytes of text may still leave the engine.
struct Budget {
    values: usize,
    bytes: usize,
}

struct Reader<'a, 'js> {
    prelude: &'a Prelude<'js>,
    budget: &'a mut Budget,
    /// The index in `containers` of each container that was met, by address.
    seen: HashMap<usize, usize>,
    /// For each container the index of its parent and its place there. Paths are computed from this when needed.
    containers: Vec<(usize, Option<Segment>)>,
    /// Objects that were made for the reader. They are kept, because another object could otherwise have their address.
    copies: Vec<Js<'js>>,
    depth: usize,
    /// The path to the value that is read, for errors.
    base: String,
}

/// The place of a value: the index of its container and its place there. `None` for the value that was given.
type Place = Option<(usize, Segment)>;

impl<'js> Reader<'_, 'js> {
    fn spend(&mut self, values: usize, bytes: usize) -> Result<()> {
        let (values, bytes) = (self.budget.values.checked_sub(values), self.budget.bytes.checked_sub(bytes));
        match (values, bytes) {
            (Some(values), Some(bytes)) => {
                *self.budget = Budget { values, bytes };
                Ok(())
            }
            _ => Err(Exception::throw_range(self.prelude.ctx(), "a value is too large to leave the engine")),
        }
    }

    /// Reads a value, which is in the container with this index, at this segment. The root is in none.
    fn read(&mut self, value: &Js<'js>, at: Place) -> Result<Value> {
        self.spend(1, 0)?;
        if value.is_undefined() {
            return Ok(Value::Undefined);
        }
        if value.is_null() {
            return Ok(Value::Null);
        }
        if let Some(boolean) = value.as_bool() {
            return Ok(Value::Boolean(boolean));
        }
        if let Some(number) = value.as_number() {
            return Ok(Value::Number(number));
        }
        if value.is_string() {
            return self.text(value).map(Value::from);
        }
        if value.is_big_int() {
            let text = value.get::<Coerced<String>>()?.0;
            self.spend(0, text.len())?;
            return match text.parse() {
                Ok(integer) => Ok(Value::BigInt(integer)),
                Err(_) => Err(Exception::throw_type(self.prelude.ctx(), "not an integer")),
            };
        }
        if value.is_symbol() {
            return Err(self.unsendable(&at, &Foreign { what: "a symbol", instead: "its description" }));
        }
        if value.is_proxy() {
            // the objects of `distribution` are proxies of the prelude, and stand for the services that they list
            let copy: Js = self.prelude.function("copyOf")?.call((value.clone(),))?;
            if copy.is_undefined() {
                let instead = "a copy, such as {...proxy}; reading a proxy would run its code";
                return Err(self.unsendable(&at, &Foreign { what: "a Proxy", instead }));
            }
            self.copies.push(copy.clone());
            return self.read(&copy, at);
        }
        if value.is_function() {
            return self.function(value, &at);
        }
        // SAFETY: the call only reads the class of the value
        if unsafe { qjs::JS_IsDate(value.as_raw()) } {
            let time: f64 = self.prelude.function("time")?.call((value.clone(),))?;
            return Ok(Value::Date(if time.is_nan() { Date::INVALID } else { Date::new(time as i64) }));
        }
        if self.depth >= DEPTH {
            return Err(Exception::throw_range(
                self.prelude.ctx(),
                &format!("a value is nested deeper than {DEPTH} levels"),
            ));
        }
        let Some(object) = value.as_object() else {
            return Ok(Value::Undefined);
        };
        if value.is_error() {
            return self.error(object, &at);
        }
        if !value.is_array()
            && let Some(foreign) = foreign(self.prelude, value)?
        {
            return Err(self.unsendable(&at, &foreign));
        }
        // SAFETY: the raw value of an object is a pointer, which only identifies the object and is not followed
        let address = unsafe { qjs::JS_VALUE_GET_PTR(value.as_raw()) } as usize;
        if let Some(&first) = self.seen.get(&address) {
            return self.refer(first, at);
        }
        let index = self.containers.len();
        self.containers.push(match at {
            Some((parent, segment)) => (parent, Some(segment)),
            None => (index, None),
        });
        self.seen.insert(address, index);
        self.depth += 1;
        let read = match value.as_array() {
            Some(array) => self.array(array, index),
            None => self.object(object, index),
        };
        self.depth -= 1;
        read
    }

    fn array(&mut self, array: &JsArray<'js>, index: usize) -> Result<Value> {
        // `JsArray::len` stops at 2^31
        let length = match properties::own(array.as_object(), Key::Name("length"))? {
            Found::Data(length) => length.as_number().unwrap_or(0.0) as usize,
            Found::Missing | Found::Code => 0,
        };
        self.spend(length, 0)?;
        let mut read = Array::with_capacity(length);
        for place in 0..length {
            let segment = Segment::Index(place as u32);
            match properties::own(array.as_object(), Key::Index(place as u32))? {
                Found::Missing => read.push_hole(),
                Found::Data(element) => read.push(self.read(&element, Some((index, segment)))?),
                Found::Code => return Err(self.accessor(&Some((index, segment)))),
            }
        }
        Ok(Value::Array(read))
    }

    fn object(&mut self, object: &JsObject<'js>, index: usize) -> Result<Value> {
        let mut read = Object::new();
        for key in object.own_keys::<Js>(Filter::new().string().enum_only()) {
            let key = key?;
            let found = properties::own(object, Key::Listed(&key))?;
            let key = self.text(&key)?;
            let place = Some((index, Segment::Key(key.clone())));
            match found {
                Found::Missing => {}
                Found::Data(member) => {
                    let member = self.read(&member, place)?;
                    read.insert(key, member);
                }
                Found::Code => return Err(self.accessor(&place)),
            }
        }
        Ok(Value::Object(read))
    }

    fn error(&mut self, error: &JsObject<'js>, at: &Place) -> Result<Value> {
        let name = self.error_text(error, "name", "Error", at)?;
        let message = self.error_text(error, "message", "", at)?;
        // references in a cause start from the cause; the depth bounds a cause that contains its own error
        let deeper = self.depth + DEPTH / 16;
        let path = format!("{}.cause", self.path(at));
        let cause = match properties::inherited(error, "cause")? {
            Found::Data(cause) if deeper < DEPTH => read_root(self.prelude, self.budget, deeper, path, &cause)?,
            Found::Data(_) | Found::Missing => Value::Undefined,
            Found::Code => return Err(self.accessor_at(&path)),
        };
        Ok(Value::Error(Box::new(ErrorValue { name, message, cause })))
    }

    /// Returns the name or the message of an error.
    fn error_text(&mut self, error: &JsObject<'js>, key: &'static str, default: &str, at: &Place) -> Result<String> {
        let path = format!("{}.{key}", self.path(at));
        match properties::inherited(error, key)? {
            Found::Missing => Ok(default.to_owned()),
            Found::Data(text) if text.is_undefined() => Ok(default.to_owned()),
            // converting an object would run its `toString`
            Found::Data(text) if text.is_object() || text.is_symbol() => {
                let foreign = Foreign { what: "not a string", instead: "an error whose name and message are strings" };
                Err(self.unsendable_at(&path, &foreign))
            }
            Found::Data(text) => self.text(&text),
            Found::Code => Err(self.accessor_at(&path)),
        }
    }

    fn function(&mut self, value: &Js<'js>, at: &Place) -> Result<Value> {
        let source: Js = self.prelude.function("sourceOf")?.call((value.clone(),))?;
        let source = self.text(&source)?;
        match source.split_at_checked(1) {
            Some(("n", path)) => Ok(Value::Native(path.into())),
            Some((_, source)) => match self.prelude.expression(source)? {
                Some(expression) => Ok(Value::Function(Function::new(expression))),
                None => {
                    let what = "a method that uses `super` or private names";
                    Err(self.unsendable(at, &Foreign { what, instead: "a function that does without its class" }))
                }
            },
            None => {
                let what = "a native or bound function, which has no source text";
                Err(self.unsendable(at, &Foreign { what, instead: "a function that calls it" }))
            }
        }
    }

    // ---- what cannot be sent ----

    /// Returns the path to a place, as JavaScript.
    fn path(&self, at: &Place) -> String {
        let mut path = self.base.clone();
        let Some((parent, last)) = at else { return path };
        for segment in path_to(&self.containers, *parent).iter().chain([last]) {
            match segment {
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
                Segment::Key(key) if is_name(key) => path.push_str(&format!(".{key}")),
                Segment::Key(key) => path.push_str(&format!("[{key:?}]")),
            }
        }
        path
    }

    fn unsendable(&self, at: &Place, foreign: &Foreign) -> Error {
        self.unsendable_at(&self.path(at), foreign)
    }

    fn unsendable_at(&self, path: &str, Foreign { what, instead }: &Foreign) -> Error {
        let place = if path.is_empty() { "the value".to_owned() } else { format!("the value at {path}") };
        let message = format!("{place} is {what}, which cannot be sent; send {instead} instead");
        Exception::throw_type(self.prelude.ctx(), &message)
    }

    fn accessor(&self, at: &Place) -> Error {
        self.accessor_at(&self.path(at))
    }

    fn accessor_at(&self, path: &str) -> Error {
        let instead = "its value, for example in a copy {...object}; reading a value does not call it";
        self.unsendable_at(path, &Foreign { what: "a getter or setter", instead })
    }

    /// Returns the text of a value, which is converted to a string if it is none.
    fn text(&mut self, value: &Js<'js>) -> Result<String> {
        let coerced;
        let string = match value.as_string() {
            Some(string) => string,
            None => {
                coerced = value.get::<Coerced<rquickjs::String>>()?.0;
                &coerced
            }
        };
        let text = match string.to_string() {
            // Rust cannot represent a lone surrogate
            Err(Error::Utf8(_)) => {
                let whole: rquickjs::String = self.prelude.function("wellFormed")?.call((string.clone(),))?;
                whole.to_string()?
            }
            text => text?,
        };
        self.spend(0, text.len())?;
        Ok(text)
    }

    /// Makes a reference to a container that was read before.
    fn refer(&mut self, target: usize, at: Place) -> Result<Value> {
        let target = path_to(&self.containers, target);
        let mut here = Vec::new();
        if let Some((parent, segment)) = at {
            here = path_to(&self.containers, parent);
            here.push(segment);
        }
        let common = here.iter().zip(&target).take_while(|(here, there)| here == there).count();
        let up = (here.len() - common) as u32;
        let bytes = target[common..].iter().map(|segment| match segment {
            Segment::Key(key) => key.len(),
            Segment::Index(_) => 0,
        });
        self.spend(target.len() - common, bytes.sum())?;
        Ok(Value::Reference(Reference::new(up, target[common..].iter().cloned())))
    }
}

/// Returns the path from the root to a container.
fn path_to(containers: &[(usize, Option<Segment>)], mut index: usize) -> Vec<Segment> {
    let mut path = Vec::new();
    while let Some((parent, Some(segment))) = containers.get(index) {
        path.push(segment.clone());
        index = *parent;
    }
    path.reverse();
    path
}

/// Returns whether a key can follow a dot.
fn is_name(key: &str) -> bool {
    let is_letter = |c: char| c.is_alphabetic() || c == '_' || c == '$';
    key.chars().next().is_some_and(is_letter) && key.chars().all(|c| is_letter(c) || c.is_numeric())
}
