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

use std::{collections::HashMap, sync::Arc};

use chinwag_protocol::value::{Array, Date, ErrorValue, Function, Object, Reference, Segment, Value};
use rquickjs::{
    Array as JsArray, Coerced, Ctx, Error, Exception, Filter, IntoAtom, Object as JsObject, Result, Value as Js,
    object::Property, qjs,
};

use super::{
    account::Account,
    foreign::{Foreign, foreign},
    original::Original,
    originals,
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
    let mut writer =
        Writer { prelude, root: value, made: HashMap::new(), path: Vec::new(), open: Vec::new(), pending: Vec::new() };
    let root = writer.write(value)?;
    let Writer { mut made, pending, .. } = writer;
    for Pending { holder, target } in pending {
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
    root: &'a Value,
    /// The JavaScript values of everything that a reference can refer to, by address.
    made: HashMap<*const Value, Js<'js>>,
    /// The path from the root to the value that is being written.
    path: Vec<Segment>,
    /// The containers around that value, the root first.
    open: Vec<&'a Value>,
    pending: Vec<Pending<'a, 'js>>,
}

/// A reference that is resolved once everything else is made.
struct Pending<'a, 'js> {
    holder: Holder<'js>,
    target: &'a Value,
}

enum Holder<'js> {
    Array(JsArray<'js>, usize),
    Object(JsObject<'js>, String),
}

impl<'a, 'js> Writer<'a, 'js> {
    fn write(&mut self, value: &'a Value) -> Result<Js<'js>> {
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
            Value::Function(function) => match self.original(value)? {
                Some(found) => found.function,
                None => self.prelude.compile_part(function.source())?,
            },
            Value::Native(path) => self.prelude.function("native")?.call((path.as_str(),))?,
            Value::Array(array) => {
                let made = JsArray::new(ctx.clone())?;
                self.made.insert(std::ptr::from_ref(value), made.clone().into_value());
                self.open.push(value);
                for (index, slot) in array.iter().enumerate() {
                    let Some(element) = slot else { continue };
                    self.path.push(Segment::Index(index as u32));
                    match self.refers(element) {
                        Some(target) => {
                            self.pending.push(Pending { holder: Holder::Array(made.clone(), index), target });
                        }
                        None => define(made.as_object(), index as u32, self.write(element)?)?,
                    }
                    self.path.pop();
                }
                self.open.pop();
                if array.iter().next_back() == Some(None) {
                    made.as_object().set("length", array.len())?;
                }
                return Ok(made.into_value());
            }
            Value::Object(object) => {
                if let Some(home) = self.home(object)? {
                    self.made.insert(std::ptr::from_ref(value), home.clone().into_value());
                    return Ok(home.into_value());
                }
                let made = JsObject::new(ctx.clone())?;
                self.made.insert(std::ptr::from_ref(value), made.clone().into_value());
                self.open.push(value);
                for (key, member) in object.iter() {
                    self.path.push(Segment::Key(key.to_owned()));
                    match self.refers(member) {
                        Some(target) => {
                            // sets the key now, so that the order of keys is kept
                            define(&made, key, Js::new_undefined(ctx.clone()))?;
                            let holder = Holder::Object(made.clone(), key.to_owned());
                            self.pending.push(Pending { holder, target });
                        }
                        None => define(&made, key, self.write(member)?)?,
                    }
                    self.path.pop();
                }
                self.open.pop();
                return Ok(made.into_value());
            }
        };
        self.made.insert(std::ptr::from_ref(value), js.clone());
        Ok(js)
    }

    /// Returns the function itself, if it belongs to this realm.
    fn original(&self, value: &Value) -> Result<Option<originals::Found<'js>>> {
        match original_number(value) {
            Some(number) => self.prelude.originals.find(self.prelude.ctx(), self.prelude.realm, number),
            None => Ok(None),
        }
    }

    /// Returns the object itself, if it belongs to this realm: the one that all functions of `object` were members of.
    fn home(&self, object: &Object) -> Result<Option<JsObject<'js>>> {
        let mut home = None;
        for member in object.values().filter(|member| matches!(member, Value::Function(_))) {
            match self.original(member)?.and_then(|found| found.home) {
                Some(next) if home.as_ref().is_none_or(|home| *home == next) => home = Some(next),
                _ => return Ok(None),
            }
        }
        Ok(home)
    }

    /// Returns the target, if the value is a reference that leads somewhere.
    fn refers(&self, value: &Value) -> Option<&'a Value> {
        let Value::Reference(reference) = value else { return None };
        let up = usize::try_from(reference.up).ok()?;
        let base = self.path.len().checked_sub(up)?;
        // most references lead to their target directly. The path from the root can be much longer than their own.
        if let Some(target) = self.open.get(base)?.at(&reference.path) {
            return Some(target);
        }
        let path: Vec<Segment> = self.path[..base].iter().chain(&reference.path).cloned().collect();
        self.root.at(&path)
    }
}

/// Returns the number of a function's original.
pub(super) fn original_number(value: &Value) -> Option<u64> {
    match value {
        Value::Function(function) => function.original::<Original>().map(Original::number),
        _ => None,
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
///
/// If an account is given, the engine keeps the functions in the value on that account, and the node holds them.
pub(super) fn to_value<'js>(
    prelude: &Prelude<'js>,
    settings: &ScriptSettings,
    held_by: Option<Account>,
    value: &Js<'js>,
) -> Result<Value> {
    let mut budget = Budget { values: settings.values, bytes: settings.bytes, settings };
    read_root(prelude, &mut budget, held_by, 0, String::new(), value)
}

fn read_root<'js>(
    prelude: &Prelude<'js>,
    budget: &mut Budget<'_>,
    held_by: Option<Account>,
    depth: usize,
    base: String,
    value: &Js<'js>,
) -> Result<Value> {
    let (seen, containers, copies) = (HashMap::new(), Vec::new(), Vec::new());
    let mut reader = Reader { prelude, budget, held_by, home: None, seen, containers, copies, depth, base };
    reader.read(value, None)
}

/// How many values and bytes of text may still leave the engine.
struct Budget<'a> {
    values: usize,
    bytes: usize,
    settings: &'a ScriptSettings,
}

struct Reader<'a, 'b, 'js> {
    prelude: &'a Prelude<'js>,
    budget: &'a mut Budget<'b>,
    /// On whose account the engine keeps the functions that are read, if it does.
    held_by: Option<Account>,
    /// The object whose member is being read.
    home: Option<JsObject<'js>>,
    /// The index in `containers` of each container that was met, by address.
    seen: HashMap<usize, usize>,
    /// The arrays and objects that were met. Paths are computed from this when needed.
    containers: Vec<Container>,
    /// Objects that were made for the reader. They are kept, because another object could otherwise have their address.
    copies: Vec<Js<'js>>,
    depth: usize,
    /// The path to the value that is read, for errors.
    base: String,
}

/// An array or object, and its place below the root.
struct Container {
    /// The index of the container that holds it. The root holds itself.
    parent: usize,
    /// The place in the parent. The root has none.
    segment: Option<Segment>,
    /// How many containers it is below the root.
    level: usize,
    /// About how many bytes its path from the root takes on the wire, at least.
    path_bytes: usize,
}

/// The place of a value: the index of its container and its place there. `None` for the value that was given.
type Place = Option<(usize, Segment)>;

impl<'js> Reader<'_, '_, 'js> {
    fn spend(&mut self, values: usize, bytes: usize) -> Result<()> {
        let Budget { values: values_left, bytes: bytes_left, settings } = &mut *self.budget;
        let refused = match (values_left.checked_sub(values), bytes_left.checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                (*values_left, *bytes_left) = (values, bytes);
                return Ok(());
            }
            (None, _) => format!("more than {} values and steps of references", settings.values),
            (_, None) => format!("more than {} bytes of text and paths of references", settings.bytes),
        };
        let message = format!("a value is too large to leave the engine: it has {refused}");
        Err(Exception::throw_range(self.prelude.ctx(), &message))
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
        let container = match at {
            Some((parent, segment)) => {
                let Container { level, path_bytes, .. } = self.containers[parent];
                let path_bytes = path_bytes + bytes_of(&segment);
                Container { parent, segment: Some(segment), level: level + 1, path_bytes }
            }
            None => Container { parent: index, segment: None, level: 0, path_bytes: 0 },
        };
        self.containers.push(container);
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
            Found::Missing | Found::Code(_) => 0,
        };
        self.spend(length, 0)?;
        let mut read = Array::with_capacity(length);
        for place in 0..length {
            self.home = None;
            let segment = Segment::Index(place as u32);
            match properties::own(array.as_object(), Key::Index(place as u32))? {
                Found::Missing => read.push_hole(),
                Found::Data(element) => read.push(self.read(&element, Some((index, segment)))?),
                Found::Code(_) => return Err(self.accessor(&Some((index, segment)))),
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
            self.home = self.held_by.map(|_| object.clone());
            let place = Some((index, Segment::Key(key.clone())));
            match found {
                Found::Missing => {}
                Found::Data(member) => {
                    let member = self.read(&member, place)?;
                    read.insert(key, member);
                }
                Found::Code(_) => return Err(self.accessor(&place)),
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
            Found::Data(cause) if deeper < DEPTH => read_root(self.prelude, self.budget, None, deeper, path, &cause)?,
            Found::Data(_) | Found::Missing => Value::Undefined,
            Found::Code(_) => return Err(self.accessor_at(&path)),
        };
        Ok(Value::Error(Box::new(ErrorValue { name, message, cause })))
    }

    /// Returns the name or the message of an error.
    fn error_text(&mut self, error: &JsObject<'js>, key: &'static str, default: &str, at: &Place) -> Result<String> {
        let path = format!("{}.{key}", self.path(at));
        let found = match properties::inherited(error, key)? {
            // a locked realm has its own values behind getters, which are no code of the caller
            Found::Code(getter) => {
                match self.prelude.function("lockedValue")?.call::<_, Vec<Js>>((getter.clone(),))?.pop() {
                    Some(value) => Found::Data(value),
                    None => Found::Code(getter),
                }
            }
            found => found,
        };
        match found {
            Found::Missing => Ok(default.to_owned()),
            Found::Data(text) if text.is_undefined() => Ok(default.to_owned()),
            // converting an object would run its `toString`
            Found::Data(text) if text.is_object() || text.is_symbol() => {
                let foreign = Foreign { what: "not a string", instead: "an error whose name and message are strings" };
                Err(self.unsendable_at(&path, &foreign))
            }
            Found::Data(text) => self.text(&text),
            Found::Code(_) => Err(self.accessor_at(&path)),
        }
    }

    fn function(&mut self, value: &Js<'js>, at: &Place) -> Result<Value> {
        let source: Js = self.prelude.function("sourceOf")?.call((value.clone(),))?;
        let source = self.text(&source)?;
        match source.split_at_checked(1) {
            Some(("n", path)) => Ok(Value::Native(path.into())),
            Some((_, source)) => match self.prelude.expression(source)? {
                Some(expression) => self.hold(Function::new(expression), value).map(Value::Function),
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

    /// Keeps a function for the node, if its value is one that the node holds.
    fn hold(&mut self, function: Function, value: &Js<'js>) -> Result<Function> {
        let Some(account) = self.held_by else { return Ok(function) };
        let Prelude { realm, originals, .. } = self.prelude;
        let number = originals.keep(self.prelude.ctx(), *realm, account, value, self.home.as_ref());
        let number = number.map_err(|why| Exception::throw_range(self.prelude.ctx(), &why))?;
        Ok(function.with_original(Arc::new(Original::new(number))))
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

    /// Makes a reference to a container that was read before. On the wire its path begins at the root, so that is what it
    /// costs, however close the container is.
    fn refer(&mut self, target: usize, at: Place) -> Result<Value> {
        self.spend(0, self.containers[target].path_bytes)?;
        let mut path = Vec::new();
        let (mut here, mut there) = (at.map_or(target, |(parent, _)| parent), target);
        let mut up = 1;
        // climbs from both ends to the innermost container that holds both
        while here != there {
            let (from, to) = (&self.containers[here], &self.containers[there]);
            let levels = (from.level, to.level);
            if levels.0 >= levels.1 {
                up += 1;
                here = from.parent;
            }
            if levels.1 >= levels.0 {
                path.extend(to.segment.clone());
                there = to.parent;
            }
        }
        path.reverse();
        self.spend(path.len(), 0)?;
        Ok(Value::Reference(Reference { up, path }))
    }
}

/// The least number of bytes that a step of a path takes on the wire: the quoted key in a string, or the index.
fn bytes_of(segment: &Segment) -> usize {
    match segment {
        Segment::Key(key) => key.len() + "\"\\\"\\\"\",".len(),
        Segment::Index(_) => "0,".len(),
    }
}

/// Returns the path from the root to a container.
fn path_to(containers: &[Container], mut index: usize) -> Vec<Segment> {
    let mut path = Vec::new();
    while let Some(Container { parent, segment: Some(segment), .. }) = containers.get(index) {
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
