//! Converts values to JavaScript values and back.
//!
//! Both directions preserve shared and cyclic structure: a reference becomes the object that it refers to, and an
//! object that occurs a second time becomes a reference. Reading an object can run code (getters, proxies), which
//! counts against the limits of its task.

use std::collections::HashMap;

use chinwag_protocol::value::{Array, Date, ErrorValue, Function, Object, Reference, Segment, Value};
use rquickjs::{
    Array as JsArray, Coerced, Ctx, Error, Exception, Filter, Object as JsObject, Result, Value as Js,
    object::Property, qjs,
};

use super::{prelude::Prelude, settings::ScriptSettings};

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
            Holder::Array(array, index) => array.set(index, target)?,
            Holder::Object(object, key) => define(&object, &key, target)?,
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
                        None => made.set(index, self.write(element)?)?,
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

/// Sets an own property, even if its name is `__proto__`.
fn define<'js>(object: &JsObject<'js>, key: &str, value: Js<'js>) -> Result<()> {
    object.prop(key, Property::from(value).writable().enumerable().configurable())
}

pub(super) fn text_into_js<'js>(ctx: &Ctx<'js>, text: &str) -> Result<Js<'js>> {
    rquickjs::String::from_str(ctx.clone(), text).map(rquickjs::String::into_value)
}

/// Makes the value of a JavaScript value.
///
/// # Errors
/// Throws a `RangeError` if it is larger or nested deeper than [`ScriptSettings`] allow, and whatever its getters
/// throw.
pub(super) fn to_value<'js>(prelude: &Prelude<'js>, settings: &ScriptSettings, value: &Js<'js>) -> Result<Value> {
    let mut budget = Budget { values: settings.values, bytes: settings.bytes };
    read_root(prelude, &mut budget, 0, value)
}

fn read_root<'js>(prelude: &Prelude<'js>, budget: &mut Budget, depth: usize, value: &Js<'js>) -> Result<Value> {
    let mut reader = Reader { prelude, budget, seen: HashMap::new(), containers: Vec::new(), depth };
    reader.read(value, None)
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
    depth: usize,
}

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
    fn read(&mut self, value: &Js<'js>, at: Option<(usize, Segment)>) -> Result<Value> {
        self.spend(1, 0)?;
        if value.is_undefined() || value.is_symbol() {
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
        if value.is_function() {
            return self.function(value);
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
            return self.error(object);
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
        let length: f64 = array.as_object().get("length")?;
        let length = length as usize;
        self.spend(length, 0)?;
        let mut read = Array::with_capacity(length);
        for place in 0..length {
            let element: Js = array.get(place)?;
            if element.is_undefined() && !array.as_object().contains_key(place as u32)? {
                read.push_hole();
            } else {
                read.push(self.read(&element, Some((index, Segment::Index(place as u32))))?);
            }
        }
        Ok(Value::Array(read))
    }

    fn object(&mut self, object: &JsObject<'js>, index: usize) -> Result<Value> {
        let mut read = Object::new();
        for key in object.own_keys::<Js>(Filter::new().string().enum_only()) {
            let key = key?;
            let member: Js = object.get(key.clone())?;
            let key = self.text(&key)?;
            let member = self.read(&member, Some((index, Segment::Key(key.clone()))))?;
            read.insert(key, member);
        }
        Ok(Value::Object(read))
    }

    fn error(&mut self, error: &JsObject<'js>) -> Result<Value> {
        let text = |reader: &mut Self, key: &str, default: &str| {
            let value: Js = error.get(key)?;
            if value.is_undefined() { Ok(default.to_owned()) } else { reader.text(&value) }
        };
        let name = text(self, "name", "Error")?;
        let message = text(self, "message", "")?;
        let cause: Js = error.get("cause")?;
        // references in a cause start from the cause; the depth bounds a cause that contains its own error
        let deeper = self.depth + DEPTH / 16;
        let cause = if cause.is_undefined() || deeper >= DEPTH {
            Value::Undefined
        } else {
            read_root(self.prelude, self.budget, deeper, &cause)?
        };
        Ok(Value::Error(Box::new(ErrorValue { name, message, cause })))
    }

    fn function(&mut self, value: &Js<'js>) -> Result<Value> {
        let source: Js = self.prelude.function("sourceOf")?.call((value.clone(),))?;
        let source = self.text(&source)?;
        match source.split_at_checked(1) {
            Some(("n", path)) => Ok(Value::Native(path.into())),
            Some((_, source)) => Ok(Value::Function(Function::new(self.prelude.expression(source)?))),
            None => {
                Err(Exception::throw_type(self.prelude.ctx(), "a native or bound function has no source text to send"))
            }
        }
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
    fn refer(&mut self, target: usize, at: Option<(usize, Segment)>) -> Result<Value> {
        let path_to = |containers: &[(usize, Option<Segment>)], mut index: usize| {
            let mut path = Vec::new();
            while let Some((parent, Some(segment))) = containers.get(index) {
                path.push(segment.clone());
                index = *parent;
            }
            path.reverse();
            path
        };
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
