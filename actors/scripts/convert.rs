//! Values to the engine's and back.
//!
//! Shared and cyclic structure survives both ways: a reference becomes the very object it means, and an object met a
//! second time becomes a reference. What code can do while it is read (getters, proxies) runs within the call's bounds.

use std::collections::HashMap;

use chinwag_protocol::value::{Array, Date, ErrorValue, Function, Object, Reference, Segment, Value};
use rquickjs::{
    Array as JsArray, Coerced, Ctx, Error, Exception, Filter, Function as JsFunction, Object as JsObject, Result,
    Value as Js, object::Property, qjs,
};

use super::settings::ScriptSettings;

/// Deepest nesting of a value: what the wire takes.
const DEPTH: usize = 512;

/// Digits of the longest integer that is handed to the engine: reading one takes the square of their number.
const DIGITS: usize = 10_000;

/// The part of the prelude that conversion needs.
pub(super) trait Helpers<'js> {
    /// One of the functions that the prelude answered with.
    fn helper(&self, name: &str) -> Result<JsFunction<'js>>;
    /// Evaluates a function's text.
    fn evaluate(&self, source: &str) -> Result<Js<'js>>;
}

/// Hands a value to the engine.
pub(super) fn into_js<'js>(ctx: &Ctx<'js>, helpers: &impl Helpers<'js>, value: &Value) -> Result<Js<'js>> {
    let mut writer = Writer { ctx, helpers, made: HashMap::new(), place: Vec::new(), pending: Vec::new() };
    let root = writer.write(value)?;
    let Writer { mut made, pending, .. } = writer;
    for Pending { holder, path } in pending {
        let Some(target) = value.at(&path) else { continue };
        let address = std::ptr::from_ref(target);
        let target = match made.get(&address) {
            Some(made) => made.clone(),
            None => {
                let made_now = into_js(ctx, helpers, target)?;
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

struct Writer<'a, 'js, H> {
    ctx: &'a Ctx<'js>,
    helpers: &'a H,
    /// What became of the values that can be referred to, by address.
    made: HashMap<*const Value, Js<'js>>,
    place: Vec<Segment>,
    pending: Vec<Pending<'js>>,
}

/// A reference that is looked up once everything else is made.
struct Pending<'js> {
    holder: Holder<'js>,
    path: Vec<Segment>,
}

enum Holder<'js> {
    Array(JsArray<'js>, usize),
    Object(JsObject<'js>, String),
}

impl<'js, H: Helpers<'js>> Writer<'_, 'js, H> {
    fn write(&mut self, value: &Value) -> Result<Js<'js>> {
        let ctx = self.ctx;
        if self.place.len() > DEPTH {
            return Err(Exception::throw_range(ctx, &format!("a value nests deeper than {DEPTH}")));
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
            Value::BigInt(integer) => return self.helpers.helper("bigint")?.call((integer.as_str(),)),
            Value::Date(date) => {
                let time = date.milliseconds().map_or(f64::NAN, |milliseconds| milliseconds as f64);
                self.helpers.helper("date")?.call((time,))?
            }
            Value::Error(error) => {
                let cause = into_js(ctx, self.helpers, &error.cause)?;
                let error = (text_into_js(ctx, &error.name)?, text_into_js(ctx, &error.message)?, cause);
                self.helpers.helper("error")?.call(error)?
            }
            Value::Function(function) => self.helpers.evaluate(function.source())?,
            Value::Native(path) => self.helpers.helper("native")?.call((path.as_str(),))?,
            Value::Array(array) => {
                let made = JsArray::new(ctx.clone())?;
                self.made.insert(std::ptr::from_ref(value), made.clone().into_value());
                for (index, slot) in array.iter().enumerate() {
                    let Some(element) = slot else { continue };
                    self.place.push(Segment::Index(index as u32));
                    match self.refers(element) {
                        Some(path) => self.pending.push(Pending { holder: Holder::Array(made.clone(), index), path }),
                        None => made.set(index, self.write(element)?)?,
                    }
                    self.place.pop();
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
                    self.place.push(Segment::Key(key.to_owned()));
                    match self.refers(member) {
                        Some(path) => {
                            // the key's place in the order is taken now
                            define(&made, key, Js::new_undefined(ctx.clone()))?;
                            let holder = Holder::Object(made.clone(), key.to_owned());
                            self.pending.push(Pending { holder, path });
                        }
                        None => define(&made, key, self.write(member)?)?,
                    }
                    self.place.pop();
                }
                return Ok(made.into_value());
            }
        };
        self.made.insert(std::ptr::from_ref(value), js.clone());
        Ok(js)
    }

    /// The way from the root that a reference standing here means.
    fn refers(&self, value: &Value) -> Option<Vec<Segment>> {
        let Value::Reference(reference) = value else { return None };
        let up = usize::try_from(reference.up).ok()?;
        let base = self.place.get(..self.place.len().checked_sub(up)?)?;
        Some(base.iter().chain(&reference.path).cloned().collect())
    }
}

/// Sets a property of the object itself, whatever it is called.
fn define<'js>(object: &JsObject<'js>, key: &str, value: Js<'js>) -> Result<()> {
    object.prop(key, Property::from(value).writable().enumerable().configurable())
}

pub(super) fn text_into_js<'js>(ctx: &Ctx<'js>, text: &str) -> Result<Js<'js>> {
    rquickjs::String::from_str(ctx.clone(), text).map(rquickjs::String::into_value)
}

/// Takes a value from the engine.
pub(super) fn from_js<'js>(
    ctx: &Ctx<'js>,
    helpers: &impl Helpers<'js>,
    settings: &ScriptSettings,
    value: &Js<'js>,
) -> Result<Value> {
    let mut budget = Budget { values: settings.values, bytes: settings.bytes };
    read_root(ctx, helpers, &mut budget, 0, value)
}

fn read_root<'js>(
    ctx: &Ctx<'js>,
    helpers: &impl Helpers<'js>,
    budget: &mut Budget,
    depth: usize,
    value: &Js<'js>,
) -> Result<Value> {
    let mut reader = Reader { ctx, helpers, budget, seen: HashMap::new(), above: Vec::new(), depth };
    reader.read(value, None)
}

/// What may still be taken.
struct Budget {
    values: usize,
    bytes: usize,
}

struct Reader<'a, 'js, H> {
    ctx: &'a Ctx<'js>,
    helpers: &'a H,
    budget: &'a mut Budget,
    /// Containers by address, as their index in `above`.
    seen: HashMap<usize, usize>,
    /// Each container with the one it is in and where: paths are made of it when they are needed.
    above: Vec<(usize, Option<Segment>)>,
    depth: usize,
}

impl<'js, H: Helpers<'js>> Reader<'_, 'js, H> {
    fn spend(&mut self, values: usize, bytes: usize) -> Result<()> {
        let (values, bytes) = (self.budget.values.checked_sub(values), self.budget.bytes.checked_sub(bytes));
        match (values, bytes) {
            (Some(values), Some(bytes)) => {
                *self.budget = Budget { values, bytes };
                Ok(())
            }
            _ => Err(Exception::throw_range(self.ctx, "a value is too large to leave the engine")),
        }
    }

    /// Reads a value that stands at a segment of a container.
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
                Err(_) => Err(Exception::throw_type(self.ctx, "not an integer")),
            };
        }
        if value.is_function() {
            return self.function(value);
        }
        // SAFETY: asks for the value's class and touches nothing
        if unsafe { qjs::JS_IsDate(value.as_raw()) } {
            let time: f64 = self.helpers.helper("time")?.call((value.clone(),))?;
            return Ok(Value::Date(if time.is_nan() { Date::INVALID } else { Date::new(time as i64) }));
        }
        if self.depth >= DEPTH {
            return Err(Exception::throw_range(self.ctx, &format!("a value nests deeper than {DEPTH}")));
        }
        let Some(object) = value.as_object() else {
            return Ok(Value::Undefined);
        };
        if value.is_error() {
            return self.error(object);
        }
        // SAFETY: an object's raw value holds a pointer, which serves as its name and is not followed
        let address = unsafe { qjs::JS_VALUE_GET_PTR(value.as_raw()) } as usize;
        if let Some(&first) = self.seen.get(&address) {
            return self.refer(first, at);
        }
        let index = self.above.len();
        self.above.push(match at {
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
        // the engine's own accessor stops at 2^31
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
        let text = |reader: &mut Self, key: &str, otherwise: &str| {
            let value: Js = error.get(key)?;
            if value.is_undefined() { Ok(otherwise.to_owned()) } else { reader.text(&value) }
        };
        let name = text(self, "name", "Error")?;
        let message = text(self, "message", "")?;
        let cause: Js = error.get("cause")?;
        // a cause is a root of its own, and one that holds its error goes no further than values nest
        let deeper = self.depth + DEPTH / 16;
        let cause = if cause.is_undefined() || deeper >= DEPTH {
            Value::Undefined
        } else {
            read_root(self.ctx, self.helpers, self.budget, deeper, &cause)?
        };
        Ok(Value::Error(Box::new(ErrorValue { name, message, cause })))
    }

    fn function(&mut self, value: &Js<'js>) -> Result<Value> {
        let source: Js = self.helpers.helper("sourceOf")?.call((value.clone(),))?;
        let source = self.text(&source)?;
        match source.split_at_checked(1) {
            Some(("n", path)) => Ok(Value::Native(path.into())),
            Some((_, source)) if source.trim_end().ends_with("[native code]\n}") => {
                Err(Exception::throw_type(self.ctx, "a native or bound function has no text to send"))
            }
            Some((_, source)) => Ok(Value::Function(Function::new(source))),
            None => Ok(Value::Undefined),
        }
    }

    /// The text of a string, or of what turns into one.
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
            // half a surrogate pair has no form outside
            Err(Error::Utf8(_)) => {
                let whole: rquickjs::String = self.helpers.helper("wellFormed")?.call((string.clone(),))?;
                whole.to_string()?
            }
            text => text?,
        };
        self.spend(0, text.len())?;
        Ok(text)
    }

    /// A reference to a container that was read before.
    fn refer(&mut self, target: usize, at: Option<(usize, Segment)>) -> Result<Value> {
        let path_to = |above: &[(usize, Option<Segment>)], mut index: usize| {
            let mut path = Vec::new();
            while let Some((parent, Some(segment))) = above.get(index) {
                path.push(segment.clone());
                index = *parent;
            }
            path.reverse();
            path
        };
        let target = path_to(&self.above, target);
        let mut here = Vec::new();
        if let Some((parent, segment)) = at {
            here = path_to(&self.above, parent);
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
