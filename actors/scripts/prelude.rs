//! The functions that `prelude.js` returns to the host.

use rquickjs::{
    Ctx, Error, Exception, FromJs, Function as JsFunction, Object as JsObject, Result, Value as Js,
    context::EvalOptions,
};

/// The script that gives shipped code its environment. It is evaluated before any shipped code.
pub(super) const SOURCE: &str = include_str!("prelude.js");

/// The name of that script in the places of errors, where `prelude.js` leaves it out.
pub(super) const NAME: &str = "chinwag:prelude";

/// The functions that `prelude.js` returns to the host. Shipped code cannot reach or replace them.
pub(super) struct Prelude<'js> {
    ctx: Ctx<'js>,
    functions: JsObject<'js>,
}

impl<'js> Prelude<'js> {
    pub(super) fn new(ctx: &Ctx<'js>, functions: JsObject<'js>) -> Prelude<'js> {
        Prelude { ctx: ctx.clone(), functions }
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
                    Ok(method) => method,
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

    /// Evaluates a method in shorthand, such as `m(x) {}`, as part of an object.
    fn shorthand_method(&self, source: &str) -> Result<Js<'js>> {
        let object: JsObject = evaluate(&self.ctx, format!("({{{source}\n}})"))?;
        match object.keys::<String>().next() {
            Some(key) => object.get(key?),
            None => Ok(Js::new_undefined(self.ctx.clone())),
        }
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
