//! The arguments of every `send`: an array of arguments, and a remote method.

use chinwag_protocol::{
    call::{CallError, Remote},
    value::Value,
};

/// Reads the two arguments of a `send`. Errors name the method that was called.
pub(crate) fn message_and_remote(method: &str, arguments: &[Value]) -> Result<(Vec<Value>, Remote), CallError> {
    let message = arguments.first().unwrap_or(&Value::Undefined);
    let remote = arguments.get(1).unwrap_or(&Value::Undefined);
    let remote = Remote::from_value(remote).map_err(|why| CallError::argument(method, 2, "remote", why))?;
    Ok((elements(method, message)?, remote))
}

/// Reads the elements of an array of arguments.
pub(crate) fn elements(method: &str, message: &Value) -> Result<Vec<Value>, CallError> {
    let array = message.as_array().ok_or_else(|| {
        let why = format!("expected an array of arguments, got {}", message.type_name());
        CallError::argument(method, 1, "args", why)
    })?;
    // the elements may share structure, and each must be a value of its own
    (0..array.len()).map(|index| Ok(message.extract(&[(index as u32).into()])?)).collect()
}
