//! From a Rust type to a [`Value`].

use serde::ser::{self, Error as _, Serialize};

use super::native::{BIGINT, DATE, ERROR, FUNCTION, VALUE};
use crate::value::{Array, ConversionError, Date, EcoString, ErrorValue, Function, Limits, Object, Value};
use crate::wire;

impl Value {
    /// Converts a Rust value.
    ///
    /// Structs and maps become objects, sequences become arrays, `None` and `()` become null. A unit variant becomes
    /// its name, and any other variant an object with its name as the only key. Integers beyond 2^53 become
    /// [`BigInt`](crate::value::BigInt)s. [`Value`], [`Function`], [`ErrorValue`], [`Date`] and
    /// [`BigInt`](crate::value::BigInt) stay as they are.
    ///
    /// ```
    /// use chinwag_protocol::value::{Function, Value};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Config { port: u16, on_start: Function }
    ///
    /// let config = Config { port: 8080, on_start: Function::new("() => 1") };
    /// let value = Value::from_serialize(&config)?;
    /// assert_eq!(value.get("port"), Some(&Value::Number(8080.0)));
    /// assert_eq!(value.get("on_start"), Some(&Value::Function(Function::new("() => 1"))));
    /// # Ok::<(), chinwag_protocol::value::ConversionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a map has a key that is not text, a number or a boolean, if the type itself fails to serialize, or if a
    /// [`Value`] inside it exceeds the default [`Limits`].
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ConversionError> {
        value.serialize(ToValue)
    }
}

/// A serializer whose output is a value.
#[derive(Clone, Copy)]
struct ToValue;

type Made = Result<Value, ConversionError>;

macro_rules! make {
    ($($method:ident($source:ty) => |$value:ident| $made:expr;)*) => {$(
        fn $method(self, $value: $source) -> Made {
            Ok($made)
        }
    )*};
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = ConversionError;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
    type SerializeTupleStruct = Elements;
    type SerializeTupleVariant = Elements;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    make! {
        serialize_bool(bool) => |boolean| boolean.into();
        serialize_i8(i8) => |integer| i32::from(integer).into();
        serialize_i16(i16) => |integer| i32::from(integer).into();
        serialize_i32(i32) => |integer| integer.into();
        serialize_i64(i64) => |integer| integer.into();
        serialize_i128(i128) => |integer| match i64::try_from(integer) {
            Ok(integer) => integer.into(),
            Err(_) => Value::BigInt(integer.into()),
        };
        serialize_u8(u8) => |integer| integer.into();
        serialize_u16(u16) => |integer| integer.into();
        serialize_u32(u32) => |integer| integer.into();
        serialize_u64(u64) => |integer| integer.into();
        serialize_u128(u128) => |integer| match u64::try_from(integer) {
            Ok(integer) => integer.into(),
            Err(_) => Value::BigInt(integer.into()),
        };
        serialize_f32(f32) => |number| number.into();
        serialize_f64(f64) => |number| number.into();
        serialize_char(char) => |letter| letter.to_string().into();
        serialize_str(&str) => |text| text.into();
        serialize_bytes(&[u8]) => |bytes| bytes.iter().copied().collect::<Array>().into();
        serialize_unit_struct(&'static str) => |_name| Value::Null;
    }

    fn serialize_none(self) -> Made {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Made {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Made {
        match name {
            VALUE => value.serialize(Passage),
            FUNCTION => restore(value.serialize(self)?, |text| Ok(Function::new(text.as_str()).into())),
            BIGINT => {
                restore(value.serialize(self)?, |text| text.parse().map(Value::BigInt).map_err(ser::Error::custom))
            }
            DATE => match value.serialize(self)? {
                Value::Null => Ok(Value::Date(Date::INVALID)),
                text => restore(text, |text| text.parse().map(Value::Date).map_err(ser::Error::custom)),
            },
            ERROR => {
                let Value::Object(mut fields) = value.serialize(self)? else {
                    return Err(ConversionError::custom("an error is written as an object"));
                };
                let mut text = |key| match fields.remove(key) {
                    Some(Value::String(text)) => text.into(),
                    _ => String::new(),
                };
                let (name, message) = (text("name"), text("message"));
                let cause = fields.remove("cause").unwrap_or_default();
                Ok(ErrorValue { name, message, cause }.into())
            }
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Made {
        let value = value.serialize(self).map_err(|error| error.within(variant))?;
        Ok(Object::from_iter([(variant, value)]).into())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Elements, ConversionError> {
        Ok(Elements {
            variant: None,
            // a type can state any length, so it does not decide how much memory is reserved
            array: Array::with_capacity(length.unwrap_or_default().min(1024)),
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<Elements, ConversionError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Elements, ConversionError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Elements, ConversionError> {
        let mut elements = self.serialize_seq(Some(length))?;
        elements.variant = Some(variant);
        Ok(elements)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members, ConversionError> {
        Ok(Members::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members, ConversionError> {
        Ok(Members::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members, ConversionError> {
        Ok(Members { variant: Some(variant), ..Members::default() })
    }
}

/// Makes a value of the text that one of our newtypes is written as.
fn restore(written: Value, make: impl FnOnce(EcoString) -> Made) -> Made {
    match written {
        Value::String(text) => make(text),
        other => Err(ConversionError::found("text", other.type_name())),
    }
}

/// Puts the content of a variant into an object under the variant's name.
fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Object::from_iter([(variant, value)]).into(),
        None => value,
    }
}

/// An array that is being built.
struct Elements {
    variant: Option<&'static str>,
    array: Array,
}

impl Elements {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConversionError> {
        let index = u32::try_from(self.array.len()).unwrap_or(u32::MAX);
        let value = value.serialize(ToValue).map_err(|error| error.within(index))?;
        self.array.push(value);
        Ok(())
    }

    fn finish(self) -> Made {
        Ok(tagged(self.variant, self.array.into()))
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident)*) => {$(
        impl ser::$trait for Elements {
            type Ok = Value;
            type Error = ConversionError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConversionError> {
                self.add(value)
            }

            fn end(self) -> Made {
                self.finish()
            }
        }
    )*};
}
elements! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

/// An object that is being built.
#[derive(Default)]
struct Members {
    variant: Option<&'static str>,
    object: Object,
    key: EcoString,
}

impl Members {
    fn add<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), ConversionError> {
        let value = value.serialize(ToValue).map_err(|error| error.within(key))?;
        self.object.insert(key, value);
        Ok(())
    }
}

impl ser::SerializeMap for Members {
    type Ok = Value;
    type Error = ConversionError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ConversionError> {
        self.key = match key.serialize(ToValue)? {
            Value::String(text) => text,
            Value::BigInt(integer) => integer.to_string().into(),
            Value::Boolean(boolean) => boolean.to_string().into(),
            Value::Number(number) => ryu_js::Buffer::new().format(number).into(),
            other => return Err(ConversionError::found("a key", other.type_name())),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ConversionError> {
        let key = std::mem::take(&mut self.key);
        self.add(&key, value)
    }

    fn end(self) -> Made {
        Ok(tagged(self.variant, self.object.into()))
    }
}

macro_rules! members {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Members {
            type Ok = Value;
            type Error = ConversionError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), ConversionError> {
                self.add(key, value)
            }

            fn end(self) -> Made {
                Ok(tagged(self.variant, self.object.into()))
            }
        }
    )*};
}
members!(SerializeStruct SerializeStructVariant);

/// A serializer that takes a [`Value`] as the bytes of its typed form.
struct Passage;

macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $made:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$made, ConversionError> {
            Err(ConversionError::custom("a value is written as bytes"))
        }
    )*};
}

type Never = ser::Impossible<Value, ConversionError>;

impl ser::Serializer for Passage {
    type Ok = Value;
    type Error = ConversionError;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Made {
        let limits = Limits { bytes: usize::MAX, ..Limits::default() };
        wire::decode(bytes, &limits).map_err(ConversionError::custom)
    }

    refuse! {
        serialize_bool(bool) -> Value;
        serialize_i8(i8) -> Value;
        serialize_i16(i16) -> Value;
        serialize_i32(i32) -> Value;
        serialize_i64(i64) -> Value;
        serialize_u8(u8) -> Value;
        serialize_u16(u16) -> Value;
        serialize_u32(u32) -> Value;
        serialize_u64(u64) -> Value;
        serialize_f32(f32) -> Value;
        serialize_f64(f64) -> Value;
        serialize_char(char) -> Value;
        serialize_str(&str) -> Value;
        serialize_none() -> Value;
        serialize_unit() -> Value;
        serialize_unit_struct(&'static str) -> Value;
        serialize_unit_variant(&'static str, u32, &'static str) -> Value;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Made {
        value.serialize(self)
    }
}
