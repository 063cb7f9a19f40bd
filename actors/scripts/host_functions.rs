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

use super::{convert::text_into_js, prelude, realm::RealmName, settings::ConsoleLevel, state::EngineState};
use crate::stub;

/// A function of the host.
type HostFunction = for<'js> fn(&Rc<EngineState>, &Ctx<'js>, &[Js<'js>]) -> Result<Js<'js>>;

/// All functions of the host, by name.
const HOST_FUNCTIONS: [(&str, HostFunction); 16] = [
    ("nextNumber", |state, ctx, _| number(state.next_number() as f64, ctx)),
    ("call", call),
    ("groups", |state, ctx, arguments| {
        let directory = state.config.directory.names();
        match passed(arguments, 0) {
            None => list(directory.keys().map(String::as_str), ctx),
            Some(gid) => boolean(directory.contains_key(&text(ctx, gid)?), ctx),
        }
    }),
    ("services", |state, ctx, arguments| {
        let directory = state.config.directory.names();
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
        let directory = state.config.directory.names();
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
        number(state.start_timer(ctx, delay, repeats).map_err(|error| throw(state, ctx, error))? as f64, ctx)
    }),
    ("stopTimer", |state, ctx, arguments| {
        let number = arguments.first().and_then(Js::as_number).unwrap_or(0.0);
        state.remove_timer(number as u64);
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
        let text = wire::encode_within(&value, state.config.settings.bytes);
        text_into_js(
            ctx,
            &text.map_err(|why| Exception::throw_range(ctx, &format!("the value cannot be serialized: {why}")))?,
        )
    }),
    ("deserialize", |state, ctx, arguments| {
        let text = argument_text(ctx, arguments, 0)?;
        let value = wire::decode(text.as_bytes(), &wire::Limits::default());
        state.to_js(ctx, &value.map_err(|why| Exception::throw_syntax(ctx, &why.to_string()))?)
    }),
];

/// Evaluates the prelude of a realm and gives it the functions of the host. Locks the realm, if it must be.
pub(super) fn install(state: &Rc<EngineState>, ctx: &Ctx<'_>, realm: RealmName) -> Result<()> {
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
    let assigned = state.assigned(ctx, realm)?;
    let functions: JsObject = prelude.call((host, config.clone(), assigned))?;
    state.set_prelude(ctx, realm, functions.clone());
    // the configuration of the node can contain functions, and converting them takes the prelude
    if let Value::Object(me) = state.config.me.to_value() {
        for (key, value) in me.iter() {
            config.set(key, state.to_js(ctx, value)?)?;
        }
    }
    if realm.is_locked() {
        let lock: JsFunction = ctx.eval(prelude::LOCKDOWN)?;
        functions.set("lockedValue", lock.call::<_, JsFunction>((config,))?)?;
    }
    state.note_globals(ctx, realm);
    Ok(())
}

/// Whether a method keeps the functions that it is given on this node, so that they need not become text.
fn holds_functions([gid, service, method]: &[String; 3]) -> bool {
    match (service.as_str(), method.as_str()) {
        ("routes", "put") | ("membership", "subscribe") | ("groups", "put") => gid == "local",
        ("gossip", "at") => true,
        _ => false,
    }
}

fn call<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, arguments: &[Js<'js>]) -> Result<Js<'js>> {
    let name = |index| argument_text(ctx, arguments, index);
    let names = [name(0)?, name(1)?, name(2)?];
    let values: rquickjs::Array = argument(ctx, arguments, 3).get()?;
    let holds = holds_functions(&names);
    let values = values.iter::<Js>().map(|value| match holds {
        true => state.to_held_value(ctx, &value?),
        false => state.to_value(ctx, &value?),
    });
    let values = values.collect::<Result<Vec<Value>>>()?;
    let callback = arguments.get(4).and_then(Js::as_number).unwrap_or(0.0) as u64;
    state.start_call(ctx, names, values, callback).map_err(|error| throw(state, ctx, error))?;
    Ok(Js::new_undefined(ctx.clone()))
}

fn register<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, _: &[Js<'js>]) -> Result<Js<'js>> {
    let name = uuid::Builder::from_random_bytes(state.random.borrow_mut().random()).into_uuid();
    let name = Uuid::to_string(&name);
    state.register(ctx, name.clone()).map_err(|why| Exception::throw_range(ctx, &why))?;
    text_into_js(ctx, &name)
}

fn print<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, arguments: &[Js<'js>]) -> Result<Js<'js>> {
    let level = console_level(arguments.first().and_then(Js::as_number).unwrap_or(0.0) as u8);
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

/// Returns the level of a function of `console`, as the prelude numbers them.
fn console_level(number: u8) -> ConsoleLevel {
    match number {
        1 => ConsoleLevel::Debug,
        2 => ConsoleLevel::Warn,
        3 => ConsoleLevel::Error,
        _ => ConsoleLevel::Info,
    }
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
