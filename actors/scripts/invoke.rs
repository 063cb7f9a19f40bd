//! Calls shipped code, and gives it the callback that answers the call.
//!
//! The documentation of the parent module states which functions answer through their callback.

use std::rc::Rc;

use chinwag_protocol::value::Value;
use rquickjs::{
    Array as JsArray, Ctx, Exception, Function as JsFunction, Result as JsResult, Value as Js, context::EvalOptions,
    function::Rest,
};

use super::{messages::Code, prelude::Prelude, state::EngineState, task::Task};

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
        Code::Function(function) => (prelude.compile(function.source())?, global),
        Code::Registered(name) => {
            let function: Js = prelude.function("registered")?.call((name,))?;
            let lost = || Exception::throw_reference(ctx, "the function was lost when its engine was replaced");
            (function.into_function().ok_or_else(lost)?, global)
        }
        Code::Method(service, method) => {
            let this = state.service(ctx, &service)?;
            let function: Js = this.get(method)?;
            let not_a_function = || Exception::throw_type(ctx, "the method is not a function");
            (function.into_function().ok_or_else(not_a_function)?, this.into_value())
        }
        Code::Source(source) => return run_source(state, prelude, task, source),
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

/// Runs text at top level, where `await` is allowed, and answers the task with its formatted value.
fn run_source(state: &Rc<EngineState>, prelude: &Prelude<'_>, task: Rc<Task>, source: String) -> JsResult<()> {
    let ctx = prelude.ctx();
    let mut options = EvalOptions::default();
    (options.strict, options.promise) = (false, true);
    options.filename = Some("script".to_owned());
    let result: Js = ctx.eval_with_options(source, options)?;
    prelude.function("show")?.call((result, callback(state, ctx, task)?))
}
