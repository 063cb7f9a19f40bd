//! The functions that `prelude.js` returns to the host.

use std::{borrow::Cow, rc::Rc};

use rquickjs::{
    Ctx, Error, Exception, FromJs, Function as JsFunction, Object as JsObject, Result, Value as Js,
    context::EvalOptions,
};

use super::{
    originals::Originals,
    parameters::{self, Parameters},
    realm::RealmName,
    syntax::Syntax,
};

/// The script that gives shipped code its environment. It is evaluated before any shipped code.
pub(super) const SOURCE: &str = include_str!("prelude.js");

/// The script that locks a realm. It is evaluated after the prelude.
pub(super) const LOCKDOWN: &str = include_str!("lockdown.js");

/// The name of that script in the places of errors, where `prelude.js` leaves it out.
pub(super) const NAME: &str = "chinwag:prelude";

/// The functions that `prelude.js` returns to the host. Shipped code cannot reach or replace them.
pub(super) struct Prelude<'js> {
    ctx: Ctx<'js>,
    functions: JsObject<'js>,
    /// The realm that it is the prelude of.
    pub realm: RealmName,
    pub originals: Rc<Originals>,
}

impl<'js> Prelude<'js> {
    pub(super) fn new(
        ctx: &Ctx<'js>,
        functions: JsObject<'js>,
        realm: RealmName,
        originals: Rc<Originals>,
    ) -> Prelude<'js> {
        Prelude { ctx: ctx.clone(), functions, realm, originals }
    }

    pub(super) fn ctx(&self) -> &Ctx<'js> {
        &self.ctx
    }

    /// Returns one of the functions.
    pub(super) fn function(&self, name: &str) -> Result<JsFunction<'js>> {
        self.functions.get(name)
    }

    /// Compiles the text of a function: an expression, or a method in shorthand.
    ///
    /// # Errors
    /// Throws the syntax error, or a `TypeError` if the text is not that of a function.
    pub(super) fn compile(&self, source: &str) -> Result<JsFunction<'js>> {
        let ctx = &self.ctx;
        let expression: Js = match evaluate(ctx, format!("({source}\n)")) {
            Ok(value) => value,
            Err(Error::Exception) => {
                let first = ctx.catch();
                if first.is_uncatchable_error() {
                    return Err(ctx.throw(first));
                }
                match self.shorthand_method(source) {
                    Ok(Some(method)) => method,
                    Ok(None) => return Err(ctx.throw(first)),
                    Err(Error::Exception) => {
                        let second = ctx.catch();
                        return Err(ctx.throw(if second.is_uncatchable_error() { second } else { first }));
                    }
                    Err(other) => return Err(other),
                }
            }
            Err(other) => return Err(other),
        };
        let not_a_function = || Exception::throw_type(ctx, "the text of the function is not that of a function");
        expression.into_function().ok_or_else(not_a_function)
    }

    /// Evaluates a method in shorthand, such as `m(x) {}`. Returns `None` if the text is not that of a method.
    fn shorthand_method(&self, source: &str) -> Result<Option<Js<'js>>> {
        let ctx = &self.ctx;
        match self.expression(source)? {
            Some(same) if same == source => Ok(None),
            Some(expression) => evaluate(ctx, format!("({expression}\n)")).map(Some),
            // `super` stands for the prototype of the object, which is no longer the sender's
            None => {
                let object: JsObject = evaluate(ctx, format!("({{{source}\n}})"))?;
                object.keys::<String>().next().map(|key| object.get(key?)).transpose()
            }
        }
    }

    /// Returns the text of a function that leaves the engine, as an expression that every JavaScript engine reads. Returns
    /// `None` for a method that cannot stand alone.
    pub(super) fn expression(&self, source: &str) -> Result<Option<String>> {
        self.reading(|syntax| parameters::expression(syntax, source).map(Cow::into_owned))
    }

    /// Returns the parameters of a function. They are read from its text once.
    pub(super) fn parameters(&self, function: &JsFunction<'js>) -> Result<Parameters> {
        let known: Option<usize> = self.function("shapeOf")?.call((function.clone(),))?;
        if let Some(shape) = known {
            return Ok(Parameters { count: shape / 2, rest: shape % 2 == 1 });
        }
        let text: String = self.function("sourceOf")?.call((function.clone(),))?;
        let read = match text.strip_prefix('s') {
            Some(source) => self.reading(|syntax| parameters::parameters(syntax, source))?,
            None => None,
        };
        let parameters = match read {
            Some(parameters) => parameters,
            // the text of a native function lists no parameters
            None => Parameters { count: function.get::<_, usize>("length")?, rest: false },
        };
        let shape = 2 * parameters.count + usize::from(parameters.rest);
        self.function("keepShape")?.call::<_, ()>((function.clone(), shape))?;
        Ok(parameters)
    }

    /// Asks about the text of a function, while QuickJS calls no code for the texts that it rejects.
    fn reading<T>(&self, ask: impl FnOnce(&Syntax<'_, 'js>) -> T) -> Result<T> {
        let paused: Js = self.function("pauseTraces")?.call(())?;
        let answer = ask(&Syntax::new(&self.ctx));
        self.function("resumeTraces")?.call::<_, ()>((paused,))?;
        Ok(answer)
    }

    /// Compiles the text of a function that is part of a larger value. Text that does not compile becomes a function
    /// that throws the error when it is called, because code may never call it.
    pub(super) fn compile_part(&self, source: &str) -> Result<Js<'js>> {
        match self.compile(source) {
            Ok(function) => Ok(function.into_value()),
            Err(Error::Exception) => {
                let error = self.ctx.catch();
                if error.is_uncatchable_error() {
                    return Err(self.ctx.throw(error));
                }
                self.function("broken")?.call((error,))
            }
            Err(other) => Err(other),
        }
    }
}

fn evaluate<'js, V: FromJs<'js>>(ctx: &Ctx<'js>, source: String) -> Result<V> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some("shipped".to_owned());
    ctx.eval_with_options(source, options)
}
