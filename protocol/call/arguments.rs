//! Conversions between the arguments of a call and ordinary types.

use super::{CallError, ErrorKind};
use crate::value::Value;

/// The arguments of a call as ordinary types: a tuple, or a vector of values.
///
/// ```
/// use chinwag_protocol::{call::IntoArguments, value::Value};
/// assert_eq!(("nid", 3).into_arguments().unwrap(), [Value::from("nid"), Value::from(3)]);
/// ```
pub trait IntoArguments {
    /// Converts the arguments to values.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], naming the position, if an argument has no form on the wire.
    fn into_arguments(self) -> Result<Vec<Value>, CallError>;
}

impl IntoArguments for Vec<Value> {
    fn into_arguments(self) -> Result<Vec<Value>, CallError> {
        Ok(self)
    }
}

impl IntoArguments for () {
    fn into_arguments(self) -> Result<Vec<Value>, CallError> {
        Ok(Vec::new())
    }
}

/// Ordinary types that the arguments of a call are read into: a tuple, or a vector of values.
///
/// ```
/// use chinwag_protocol::{call::FromArguments, value::Value};
/// let (name, times) = <(String, u32)>::from_arguments("say", vec![Value::from("hi"), Value::from(2)]).unwrap();
/// assert_eq!((name.as_str(), times), ("hi", 2));
/// let error = <(String, u32)>::from_arguments("say", vec![Value::from("hi")]).unwrap_err();
/// assert!(error.to_string().contains("say: argument 2"), "{error}");
/// ```
pub trait FromArguments: Sized {
    /// Converts the arguments of `method`.
    ///
    /// # Errors
    /// [`ErrorKind::BadArgument`], naming the method, the position and the type that was expected there.
    fn from_arguments(method: &str, arguments: Vec<Value>) -> Result<Self, CallError>;
}

impl FromArguments for Vec<Value> {
    fn from_arguments(_: &str, arguments: Vec<Value>) -> Result<Vec<Value>, CallError> {
        Ok(arguments)
    }
}

impl FromArguments for () {
    fn from_arguments(_: &str, _: Vec<Value>) -> Result<(), CallError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($T:ident $v:ident $position:literal),+) => {
        impl<$($T: serde::Serialize),+> IntoArguments for ($($T,)+) {
            fn into_arguments(self) -> Result<Vec<Value>, CallError> {
                let ($($v,)+) = self;
                Ok(vec![$(Value::from_serialize(&$v).map_err(|why| {
                    CallError::new(ErrorKind::BadArgument, format!("argument {}: {why}", $position))
                })?),+])
            }
        }

        impl<$($T: serde::de::DeserializeOwned),+> FromArguments for ($($T,)+) {
            fn from_arguments(method: &str, arguments: Vec<Value>) -> Result<Self, CallError> {
                let mut arguments = arguments.into_iter();
                Ok(($({
                    let given = arguments.next();
                    let missing = given.is_none();
                    given.unwrap_or_default().deserialize::<$T>().map_err(|why| {
                        let why = if missing { format!("missing ({why})") } else { why.to_string() };
                        CallError::new(ErrorKind::BadArgument, format!("{method}: argument {}: {why}", $position))
                    })?
                },)+))
            }
        }
    };
}

tuples!(A a 1);
tuples!(A a 1, B b 2);
tuples!(A a 1, B b 2, C c 3);
tuples!(A a 1, B b 2, C c 3, D d 4);
tuples!(A a 1, B b 2, C c 3, D d 4, E e 5);
tuples!(A a 1, B b 2, C c 3, D d 4, E e 5, F f 6);
