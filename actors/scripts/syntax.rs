//! Asks QuickJS whether a text is JavaScript, without running any of it.

use std::{cell::Cell, ffi::CStr};

use rquickjs::{Ctx, qjs};

/// The most bytes that QuickJS compiles to answer the questions about one function. A guess: the questions about an
/// ordinary function take a few kilobytes, and QuickJS compiles this much in some tens of milliseconds.
const COMPILED_BYTES: usize = 1 << 20;

/// The grammar, as QuickJS knows it.
pub(super) struct Syntax<'a, 'js> {
    ctx: &'a Ctx<'js>,
    /// How many bytes may still be compiled.
    left: Cell<usize>,
}

impl<'a, 'js> Syntax<'a, 'js> {
    /// The caller pauses stack traces first (`pauseTraces` in `prelude.js`), because QuickJS otherwise calls the function
    /// that code has assigned to `Error.prepareStackTrace` for each text that it rejects.
    pub(super) fn new(ctx: &'a Ctx<'js>) -> Syntax<'a, 'js> {
        Syntax { ctx, left: Cell::new(COMPILED_BYTES) }
    }

    /// Returns whether the parts, one after another, are a script. Returns `false` for every text once the questions have
    /// become too many.
    pub(super) fn accepts(&self, parts: &[&str]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let Some(left) = self.left.get().checked_sub(length) else {
            self.left.set(0);
            return false;
        };
        self.left.set(left);
        let accepted = compiles(self.ctx, parts.concat(), c"parameters", 0);
        if !accepted {
            drop(self.ctx.catch());
        }
        accepted
    }
}

/// Compiles a script without running it, with flags beyond those for that. Returns whether it is one. If not, the context
/// holds the exception.
pub(super) fn compiles(ctx: &Ctx<'_>, mut text: String, name: &CStr, flags: u32) -> bool {
    let length = text.len();
    text.push('\0');
    let flags = (qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_COMPILE_ONLY | flags) as i32;
    // SAFETY: the context is alive and locked by this thread; the text ends with a zero byte, which `length` leaves out;
    // the compiled script is freed here, before anything could run it
    unsafe {
        let context = ctx.as_raw().as_ptr();
        let script = qjs::JS_Eval(context, text.as_ptr().cast(), length as _, name.as_ptr(), flags);
        let is_script = !qjs::JS_IsException(script);
        qjs::JS_FreeValue(context, script);
        is_script
    }
}
