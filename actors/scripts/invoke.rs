//! Calls shipped code, and gives it the callback that answers the call.
//!
//! The documentation of the parent module states which functions answer through their callback.

use std::{ffi::CString, rc::Rc};

use chinwag_protocol::value::Value;
use rquickjs::{
    Array as JsArray, Ctx, Exception, Function as JsFunction, Result as JsResult, Value as Js, function::Rest, qjs,
};

use super::{
    declarations::{self, Line},
    messages::Code,
    portable::Portable,
    prelude::Prelude,
    state::EngineState,
    task::Task,
};
use crate::script::Script;

/// Runs code for a task.
pub(super) fn run<'js>(
    state: &Rc<EngineState>,
    prelude: &Prelude<'js>,
    task: Rc<Task>,
    code: Code,
    arguments: &[Value],
) -> JsResult<()> {
    let ctx = prelude.ctx();
    let global = ctx.globals().into_value();
    let (function, this) = match code {
        Code::Function(Portable(function)) => {
            let function: Js = state.to_js(ctx, &function)?;
            let not_a_function = || Exception::throw_type(ctx, "the value to call is not a function");
            (function.into_function().ok_or_else(not_a_function)?, global)
        }
        Code::Registered(name) => {
            let function: Js = prelude.function("registered")?.call((name,))?;
            let lost = || Exception::throw_reference(ctx, "the function was lost when its engine was replaced");
            (function.into_function().ok_or_else(lost)?, global)
        }
        Code::Method { service, method, .. } => {
            let this = state.service(ctx, service)?;
            let function: Js = this.get(method)?;
            let not_a_function = || Exception::throw_type(ctx, "the method is not a function");
            (function.into_function().ok_or_else(not_a_function)?, this.into_value())
        }
        Code::Source(script) => return run_source(state, prelude, task, &script),
    };
    call(state, prelude, task, function, this, arguments)
}

/// Calls a function with its arguments and the callback.
fn call<'js>(
    state: &Rc<EngineState>,
    prelude: &Prelude<'js>,
    task: Rc<Task>,
    function: JsFunction<'js>,
    this: Js<'js>,
    arguments: &[Value],
) -> JsResult<()> {
    let ctx = prelude.ctx();
    let parameters = prelude.parameters(&function)?;
    let callback_index = parameters.before_callback(arguments.len());
    let passed = JsArray::new(ctx.clone())?;
    for (index, argument) in arguments.iter().enumerate() {
        passed.set(index, state.to_js(ctx, argument)?)?;
    }
    for index in arguments.len()..callback_index {
        passed.set(index, Js::new_undefined(ctx.clone()))?;
    }
    passed.set(callback_index, callback(state, ctx, task)?)?;
    prelude.function("invoke")?.call((function, this, passed, parameters.declares(callback_index)))
}

/// Makes the function that answers a task.
fn callback<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, task: Rc<Task>) -> JsResult<JsFunction<'js>> {
    fn typed<F: for<'js> Fn(Ctx<'js>, Rest<Js<'js>>) + 'static>(f: F) -> F {
        f
    }
    let state = state.clone();
    let answer = typed(move |ctx, arguments| {
        let argument = |index: usize| match arguments.0.get(index) {
            Some(argument) => argument.clone(),
            None => Js::new_undefined(ctx.clone()),
        };
        state.answer_by_callback(&ctx, &task, &argument(0), &argument(1));
    });
    JsFunction::new(ctx.clone(), answer)?.with_name("callback")
}

/// Runs a script at top level, where `await` is allowed, and answers the task with its formatted value.
fn run_source(state: &Rc<EngineState>, prelude: &Prelude<'_>, task: Rc<Task>, script: &Script) -> JsResult<()> {
    let ctx = prelude.ctx();
    prelude.function("beginScript")?.call::<_, ()>(())?;
    if !script.is_line {
        let result = evaluate(ctx, &script.source, &script.name, 1)?;
        return prelude.function("show")?.call((
            result,
            callback(state, ctx, task.clone())?,
            failure(state, ctx, task)?,
        ));
    }
    let Line { text, first, declares } = declarations::script(ctx, &script.source);
    let line: Js = prelude.function("beginLine")?.call((declares,))?;
    let result = evaluate(ctx, &text, &script.name, first);
    prelude.function("lineBegan")?.call::<_, ()>(())?;
    let (answer, fail) = (callback(state, ctx, task.clone())?, failure(state, ctx, task)?);
    prelude.function("showLine")?.call((result?, answer, fail, line))
}

/// Makes the function that answers a task with what its script threw.
fn failure<'js>(state: &Rc<EngineState>, ctx: &Ctx<'js>, task: Rc<Task>) -> JsResult<JsFunction<'js>> {
    fn typed<F: for<'js> Fn(Ctx<'js>, Js<'js>) + 'static>(f: F) -> F {
        f
    }
    let state = state.clone();
    JsFunction::new(
        ctx.clone(),
        typed(move |ctx, thrown| {
            let error = state.error_of_thrown(&ctx, &thrown);
            state.answer_by_code(&task, Err(error));
        }),
    )
}

/// Evaluates a script, whose first line has this number. Its value is a promise.
fn evaluate<'js>(ctx: &Ctx<'js>, source: &str, name: &str, first: i32) -> JsResult<Js<'js>> {
    let mut text = source.as_bytes().to_vec();
    text.push(0);
    // a name with a zero is that of no file
    let name = CString::new(name).unwrap_or_default();
    let mut options = qjs::JSEvalOptions {
        version: qjs::JS_EVAL_OPTIONS_VERSION as i32,
        eval_flags: (qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_ASYNC) as i32,
        filename: name.as_ptr(),
        line_num: first,
    };
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: the context is alive, the text ends with a zero that its length excludes, and the options outlive the call
    let value = unsafe {
        let value = qjs::JS_Eval2(raw, text.as_ptr().cast(), source.len() as _, &raw mut options);
        Js::from_raw(ctx.clone(), value)
    };
    if value.is_exception() { Err(rquickjs::Error::Exception) } else { Ok(value) }
}
