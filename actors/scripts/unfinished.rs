//! Whether a text compiles, and whether a text that does not is only unfinished. The engine decides; it runs no code.
//!
//! A text is unfinished if the engine fails at its end and would accept one more token there. The second condition
//! excludes errors that the engine only reports once it has read the token after them: `break` outside a loop fails at
//! the end of the text, too, but no token could follow.

use rquickjs::{Context, Ctx, Result as JsResult, Runtime, qjs};

use super::syntax::compiles;

/// The memory for a check. The longest text that a person types takes a small part of it.
const MEMORY: usize = 256 << 20;

/// Tokens of which the grammar accepts at least one after any unfinished text. The most frequent come first.
const NEXT: [&str; 20] = [
    "x", "}", ")", "]", "{", "(", ":", ";", "=", ",", "while", "catch", "of", "in", "=>", "case", "*", "'x'", "1", ".",
];

/// The ends of patterns up to three levels deep. The engine looks ahead to the end of a pattern, such as `let {a`, before
/// it reads it, and if there is none, fails at its start.
fn closed_patterns() -> impl Iterator<Item = String> {
    (1..=3).flat_map(|depth| (0..1 << depth).map(move |kinds: u32| (depth, kinds))).flat_map(|(depth, kinds)| {
        let closed: String = (0..depth).map(|level| if kinds >> level & 1 == 0 { '}' } else { ']' }).collect();
        [format!("{closed} = 0"), format!("{closed}) => 0")]
    })
}

/// Why a text does not compile, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxFault {
    message: String,
    line: u32,
    column: u32,
}

/// Compiles a script in which `await` is allowed at top level, without running it.
pub(super) fn compile(ctx: &Ctx<'_>, source: &str) -> Result<(), SyntaxFault> {
    if compiles(ctx, source.to_owned(), c"text", qjs::JS_EVAL_FLAG_ASYNC) {
        return Ok(());
    }
    let thrown = ctx.catch();
    let exception = thrown.as_exception();
    let message = exception.and_then(|exception| exception.message()).unwrap_or_default();
    let stack = exception.and_then(|exception| exception.stack()).unwrap_or_default();
    // the first place is that of the token at which the engine failed: "    at text:LINE:COLUMN"
    let mut place = stack.lines().next().unwrap_or_default().rsplit(':').map(|number| number.parse().unwrap_or(0));
    let (column, line) = (place.next().unwrap_or(0), place.next().unwrap_or(0));
    Err(SyntaxFault { message, line, column })
}

/// Returns whether a text does not compile only because something is missing at its end, as JavaScript sees it.
///
/// ```
/// use chinwag_actors::scripts::is_unfinished;
/// assert!(is_unfinished("[1, 2].map((n) => {"));
/// assert!(is_unfinished("`a template"));
/// assert!(!is_unfinished("console.log(':)')"));
/// assert!(!is_unfinished("'a string"));
/// ```
pub fn is_unfinished(source: &str) -> bool {
    let checked = || -> JsResult<bool> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(MEMORY);
        Context::full(&runtime)?.with(|ctx| Ok(lacks_end(&ctx, source)))
    };
    // a text that cannot be checked is run, which reports the reason
    checked().unwrap_or(false)
}

/// Returns the text in parentheses if it starts like an object. At a prompt such a text is an object if it can be one.
pub(super) fn as_object(source: &str) -> Option<String> {
    let text = source.trim();
    (text.starts_with('{') && !text.ends_with(';')).then(|| format!("({text}\n)"))
}

fn lacks_end(ctx: &Ctx<'_>, source: &str) -> bool {
    if is_cut_off(ctx, source) {
        return true;
    }
    let Some(object) = as_object(source) else { return false };
    let is_whole = compile(ctx, source).is_ok() || compile(ctx, &object).is_ok();
    !is_whole && is_cut_off(ctx, &format!("({source}"))
}

/// Returns whether the engine fails at the end of the text and accepts more there.
fn is_cut_off(ctx: &Ctx<'_>, source: &str) -> bool {
    let text = format!("{source}\n");
    let Err(fault) = compile(ctx, &text) else { return false };
    let with = |more: &str| compile(ctx, &format!("{text}{more}"));
    match fault.message.as_str() {
        "unexpected end of comment" => true,
        // a template, or a string whose line ends with a backslash; any other string ended at the end of its line
        "unexpected end of string" => ["`", "'", "\""].into_iter().any(|mark| with(mark) != Err(fault.clone())),
        _ => {
            // the place of the failure moves with the end of the text
            let moved = SyntaxFault { line: fault.line + 1, ..fault.clone() };
            let goes_on = |more: String| with(&format!("{more}\n")).err().is_none_or(|next| next.line > fault.line);
            let at_end = with("\n") == Err(moved);
            (at_end && NEXT.into_iter().any(|token| goes_on(token.to_owned()))) || closed_patterns().any(goes_on)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_unfinished_where_javascript_expects_more() {
        let sources = [
            "{",
            "(",
            "[",
            "f(",
            "`",
            "`a\n",
            "`a${",
            "`a${b",
            "`a${b} c",
            "/*",
            "/* a\nb",
            "1 +",
            "a =",
            "a ?",
            "a ? b :",
            "a ? b",
            "a.",
            "a?.",
            "a ||",
            "!",
            "x =>",
            "(a, b) =>",
            "async () =>",
            "await",
            "if (a)",
            "if (a) b; else",
            "if",
            "for (;;)",
            "for (",
            "for (const x",
            "for (const x of",
            "while (a)",
            "do",
            "do a",
            "do a;",
            "try {}",
            "try {} catch",
            "try {} catch (e)",
            "switch (a) {",
            "switch (a) { case 1",
            "function f",
            "function f()",
            "function f() {",
            "class A",
            "class A {",
            "class A extends B",
            "class A { static",
            "let a =",
            "var a =",
            "const a",
            "const a =",
            "let {a",
            "let [a",
            "let {a, b: [c",
            "({a = 1",
            "(a, {b = 1",
            "({a",
            "({a:",
            "({a: 1,",
            "({get a",
            "[1,",
            "[1, 2].map((n) => {",
            "let g = { a: 1\n , b: 2",
            "{a: 1, b: 2",
            "{a: [1,",
            "new",
            "typeof",
            "'a\\",
            "f(`${g(",
            "(/[)]/",
            "label:",
            "a = {\n // a comment }",
            "import(",
            "x = function* () { yield",
            "f(':)', [",
        ];
        let finished: Vec<&str> = sources.into_iter().filter(|source| !is_unfinished(source)).collect();
        assert_eq!(finished, [""; 0]);
    }

    #[test]
    fn a_text_that_is_complete_or_wrong_is_finished() {
        let sources = [
            "",
            "1",
            "a",
            ";",
            "console.log(':)')",
            "console.log('(')",
            "'{'",
            "`{`",
            "/[(]/",
            "/(/",
            "// {",
            "/* { */",
            "'a",
            "\"a",
            "'a\n'",
            "/a",
            "]",
            ")",
            "}",
            "a b",
            "f(]",
            ")(",
            "let a; let a",
            "break",
            "continue",
            "return 1",
            "1 = 2",
            "5++",
            "{a: 1}",
            "{a: 1, b: 2}",
            "{}",
            "{a: 1, b: 2};",
            "{ let a = 1 }",
            "if (a) {}",
            "a\n+ b",
            "class A {}",
            "let a = 1\nlet b = 2",
            "var 1a",
            "x = {a: 1}",
            "`a${b}c`",
            "'a\\\nb'",
            "1;",
            "for (;;) {}",
            "async () => { await 1 }",
            "await 1",
            "\0",
            "function f() {}",
            "// '",
            "a = b\n++c",
        ];
        let unfinished: Vec<&str> = sources.into_iter().filter(|source| is_unfinished(source)).collect();
        assert_eq!(unfinished, [""; 0]);
    }
}
