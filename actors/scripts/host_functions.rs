//! The functions of the host that `prelude.js` can call. Shipped code reaches them only through the prelude.

use std::rc::Rc;

use chinwag_protocol::{
    call::CallError,
    identity::{Gid, Nid},
    value::Value,
    wire,
};
use rand::RngExt as _;
use rquickjs::{
    Ctx, Exception, Function as JsFunction, IntoJs, Object as JsObject, Result, Value as Js, context::EvalOptions,
    function::Rest,
};
use uuid::Uuid;

use super::{convert::text_into_js, messages::Output, prelude, state::EngineState};
use crate::stub;

/// A function of the host.
type HostFunction = for<'js> fn(&Rc<EngineState>, &Ctx<'js>, &[Js<'js>]) -> Result<Js<'js>>;

/// All functions of the host, by name.
const HOST_FUNCTIONS: [(&str, HostFunction); 16] = [
    ("nextNumber", |state, ctx, _| number(state.next_number() as f64, ctx)),
    ("call", call),
    ("groups", |state, ctx, arguments| {
        let directory = state.config.directory.read();
        match passed(arguments, 0) {
            None => list(directory.keys().map(String::as_str), ctx),
            Some(gid) => boolean(directory.contains_key(&text(ctx, gid)?), ctx),
        }
    }),
    ("services", |state, ctx, arguments| {
        let directory = state.config.directory.read();
        let services = directory.get(&argument_text(ctx, arguments, 0)?);
        match passed(arguments, 1) {
            None => list(services.into_iter().flat_map(|services| services.keys().map(String::as_str)), ctx),
            Some(name) => {
                let name = text(ctx, name)?;
                boolean(services.is_some_and(|services| services.contains_key(&name)), ctx)
            }
        }
    }),
    ("methods", |state, ctx, arguments| {
        let directory = state.config.directory.read();
        let services = directory.get(&argument_text(ctx, arguments, 0)?);
        let name = argument_text(ctx, arguments, 1)?;
        let methods = services.and_then(|services| services.get(&name));
        let mut methods = methods.into_iter().flatten().map(String::as_str);
        match passed(arguments, 2) {
            None => list(methods, ctx),
            Some(name) => {
                let name = text(ctx, name)?;
                boolean(methods.any(|method| method == name), ctx)
            }
        }
    }),
    ("stub", |state, ctx, arguments| {
        let gid = Gid::new(argument_text(ctx, arguments, 0)?).unwrap_or_else(|_| Gid::local());
        let (service, method) = (argument_text(ctx, arguments, 1)?, argument_text(ctx, arguments, 2)?);
        text_into_js(ctx, stub::function_of(&state.config.me, &gid, &service, &method).source())
    }),
    ("register", register),
    ("evaluate", |state, ctx, arguments| {
        let source = argument_text(ctx, arguments, 0)?;
        Ok(state.prelude(ctx)?.compile(&source)?.into_value())
    }),
    ("startTimer", |state, ctx, arguments| {
        let delay = arguments.first().and_then(Js::as_number).unwrap_or(f64::NAN);
        let repeats = arguments.get(1).and_then(Js::as_bool).unwrap_or(false);
        number(state.start_timer(delay, repeats).map_err(|error| throw(state, ctx, error))? as f64, ctx)
    }),
    ("stopTimer", |state, ctx, arguments| {
        let number = arguments.first().and_then(Js::as_number).unwrap_or(0.0);
        state.timers.borrow_mut().remove(number as u64);
        Ok(Js::new_undefined(ctx.clone()))
    }),
    ("print", print),
    ("sha256", |_, ctx, arguments| text_into_js(ctx, &Nid::of_json(&argument_text(ctx, arguments, 0)?).to_string())),
    // without a simulation, code sees the time of day that QuickJS reports
    ("now", |state, ctx, _| match state.config.settings.inline {
        Some(_) => number(state.config.clock.now(), ctx),
        None => Ok(Js::new_undefined(ctx.clone())),
    }),
    ("random", |state, ctx, _| number(state.random.borrow_mut().random::<f64>(), ctx)),
    ("serialize", |state, ctx, arguments| {
        let value = match arguments.first() {
            Some(value) => state.to_value(ctx, value)?,
            None => Value::Undefined,
        };
        text_into_js(ctx, &wire::encode(&value))
    }),
    ("deserialize", |state, ctx, arguments| {
        let text = argument_text(ctx, arguments, 0)?;
        let value = wire::decode(text.as_bytes(), &wire::Limits::default());
        state.to_js(ctx, &value.map_err(|why| Exception::throw_syntax(ctx, &why.to_string()))?)
    }),
];

/// Evaluates the prelude and gives it the functions of the host.
pub(super) fn install(state: &Rc<EngineState>, ctx: &Ctx<'_>) -> Result<()> {
    fn typed<F: for<'js> Fn(Ctx<'js>, Rest<Js<'js>>) -> Result<Js<'js>> + 'static>(f: F) -> F {
        f
    }
    let host = JsObject::new(ctx.clone())?;
    for (name, host_function) in HOST_FUNCTIONS {
        let state = state.clone();
        let function = typed(move |ctx, arguments| host_function(&state, &ctx, &arguments.0));
        host.set(name, JsFunction::new(ctx.clone(), function)?.with_name(name)?)?;
    }
    let mut options = EvalOptions::default();
    options.filename = Some(prelude::NAME.to_owned());
    let prelude: JsFunction = ctx.eval_with_options(prelude::SOURCE, options)?;
    let config = JsObject::new(ctx.clone())?;
    let functions: JsObject = prelude.call((host, config.clone()))?;
    state.set_prelude(ctx, functions);
    // the configuration of the node can contain functions, and converting them takes the prelude
    if let Value::Object(me) = state.config.me.to_value() {
        for (key, value) in me.iter() {
            config.set(key, state.to_js(ctx, value)?)?;
        }
    }
    Ok(())
}

fn call<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, arguments: &[Js<'js>]) -> Result<Js<'js>> {
    let name = |index| argument_text(ctx, arguments, index);
    let names = [name(0)?, name(1)?, name(2)?];
    let values: rquickjs::Array = argument(ctx, arguments, 3).get()?;
    let values = values.iter::<Js>().map(|value| state.to_value(ctx, &value?));
    let values = values.collect::<Result<Vec<Value>>>()?;
    let callback = arguments.get(4).and_then(Js::as_number).unwrap_or(0.0) as u64;
    state.start_call(names, values, callback).map_err(|error| throw(state, ctx, error))?;
    Ok(Js::new_undefined(ctx.clone()))
}

fn register<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, _: &[Js<'js>]) -> Result<Js<'js>> {
    let limit = state.config.settings.callbacks;
    if state.registered.get() >= limit {
        let message = format!("shipped functions have registered {limit} functions with createRPC, which is the limit");
        return Err(Exception::throw_range(ctx, &message));
    }
    state.registered.set(state.registered.get() + 1);
    let name = uuid::Builder::from_random_bytes(state.random.borrow_mut().random()).into_uuid();
    let name = Uuid::to_string(&name);
    (state.emit)(Output::Register { name: name.clone() });
    text_into_js(ctx, &name)
}

fn print<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, arguments: &[Js<'js>]) -> Result<Js<'js>> {
    let level = match arguments.first().and_then(Js::as_number).unwrap_or(0.0) as u8 {
        1 => log::Level::Debug,
        2 => log::Level::Warn,
        3 => log::Level::Error,
        _ => log::Level::Info,
    };
    let mut line = argument_text(ctx, arguments, 1)?;
    let limit = state.config.settings.line;
    if line.len() > limit {
        let end = (0..=limit).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    (state.config.settings.console)(level, &line);
    Ok(Js::new_undefined(ctx.clone()))
}

/// Throws an error of the host.
fn throw(state: &Rc<EngineState>, ctx: &Ctx<'_>, error: CallError) -> rquickjs::Error {
    match state.to_js(ctx, &Value::from(error)) {
        Ok(error) => ctx.throw(error),
        Err(error) => error,
    }
}

/// Returns an argument, unless it is missing or `undefined`.
fn passed<'a, 'js>(arguments: &'a [Js<'js>], index: usize) -> Option<&'a Js<'js>> {
    arguments.get(index).filter(|argument| !argument.is_undefined())
}

fn argument<'js>(ctx: &Ctx<'js>, arguments: &[Js<'js>], index: usize) -> Js<'js> {
    arguments.get(index).cloned().unwrap_or_else(|| Js::new_undefined(ctx.clone()))
}

fn argument_text<'js>(ctx: &Ctx<'js>, arguments: &[Js<'js>], index: usize) -> Result<String> {
    text(ctx, &argument(ctx, arguments, index))
}

/// Returns the text of a string. Nothing has a name with a lone surrogate, so such a string is an error.
fn text<'js>(ctx: &Ctx<'js>, value: &Js<'js>) -> Result<String> {
    match value.as_string() {
        Some(text) => text.to_string().map_err(|_| Exception::throw_type(ctx, "the string contains a lone surrogate")),
        None => Err(Exception::throw_type(ctx, "expected a string")),
    }
}

fn number<'js>(number: f64, ctx: &Ctx<'js>) -> Result<Js<'js>> {
    Ok(Js::new_number(ctx.clone(), number))
}

fn boolean<'js>(boolean: bool, ctx: &Ctx<'js>) -> Result<Js<'js>> {
    Ok(Js::new_bool(ctx.clone(), boolean))
}

fn list<'a, 'js>(names: impl Iterator<Item = &'a str>, ctx: &Ctx<'js>) -> Result<Js<'js>> {
    names.collect::<Vec<_>>().into_js(ctx)
}
