//! Asks QuickJS whether a text is JavaScript, without running any of it.

use std::cell::Cell;

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
        let mut text = parts.concat();
        text.push('\0');
        let flags = qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_COMPILE_ONLY;
        // SAFETY: the context is alive and locked by this thread; the text ends with a zero byte, which `length` leaves out;
        // the compiled script is freed here, before anything could run it
        unsafe {
            let context = self.ctx.as_raw().as_ptr();
            let script = qjs::JS_Eval(context, text.as_ptr().cast(), length as _, c"parameters".as_ptr(), flags as i32);
            if qjs::JS_VALUE_GET_NORM_TAG(script) != qjs::JS_TAG_EXCEPTION {
                qjs::JS_FreeValue(context, script);
                return true;
            }
        }
        drop(self.ctx.catch());
        false
    }
}
