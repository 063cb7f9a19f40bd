//! Reads the text of a function: how many parameters it has, and whether it is a method in shorthand.
//!
//! The `length` of a function does not suffice to call it: it does not count a parameter that has a default, or any after
//! it, or a rest parameter. All of these decide whether a function answers through its callback.
//!
//! # How the text is read
//!
//! QuickJS reads it; this file only asks. The parameters end at the first `)` up to which the text is the beginning of a
//! function, that is, with `{}` or `=> 0` behind it QuickJS accepts it. A `)` within a string, a comment, a regular expression, a
//! default or a pattern is not accepted, because what is open there is not closed. In the same way, a comma separates two
//! parameters exactly if the parameters end correctly in front of it. Nothing is run, and an ordinary function takes three to
//! six questions.
//!
//! A parser was the alternative. `oxc_parser` without its default features brings a hundred crates, takes 87 s of processor time
//! to build in release mode, adds 680 KB to a program, and requires a newer Rust than this workspace. QuickJS does not
//! state the number of parameters itself: it is in its internal bytecode only.

use std::borrow::Cow;

use super::syntax::Syntax;

/// The parameters of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The number of parameters, without a rest parameter.
    pub count: usize,
    /// Whether a rest parameter collects further arguments.
    pub rest: bool,
}

impl Parameters {
    /// Returns how many arguments precede the callback, if the caller passed `passed`. Those that the caller did not pass are
    /// `undefined`, so that their defaults apply.
    pub(super) fn before_callback(self, passed: usize) -> usize {
        passed.max(self.count.saturating_sub(1))
    }

    /// Returns whether a parameter receives the argument at `index`.
    pub(super) fn declares(self, index: usize) -> bool {
        self.rest || index < self.count
    }
}

/// A form in which a function can be written, and where its parameters are.
#[derive(Clone, Copy)]
enum Form<'a> {
    /// `function name(list) {…}`, also `async` and with `*`. The text is everything up to the closing parenthesis.
    Function(&'a str),
    /// `(list) => …`, also `async`. The text is everything up to the closing parenthesis.
    Arrow(&'a str),
    /// `name => …`, also `async`.
    ArrowOfOne,
    /// `key(list) {…}` in an object or a class.
    Method(Method<'a>),
}

/// A method in shorthand.
#[derive(Clone, Copy)]
struct Method<'a> {
    /// Everything in front of the parameters: the name, and words such as `async`.
    key: &'a str,
    /// The opening parenthesis and everything up to the closing one.
    list: &'a str,
    /// Everything from the opening parenthesis on.
    rest: &'a str,
    /// The texts around it that make it a script. The line break keeps a comment at the end of a part from hiding them.
    holder: (&'static str, &'static str),
}

const OBJECT: (&str, &str) = ("({", "\n})");
const CLASS: (&str, &str) = ("(class {", "\n})");

/// Counts the parameters of a function. Returns `None` if the text begins like no function, or is too long to tell.
pub(super) fn parameters(syntax: &Syntax<'_, '_>, source: &str) -> Option<Parameters> {
    Some(match form(syntax, source)? {
        Form::ArrowOfOne => Parameters { count: 1, rest: false },
        Form::Function(list) => count(syntax, "(", list, ") {}\n)"),
        Form::Arrow(list) => count(syntax, "(", list, ") => 0\n)"),
        // the parameters of any other name can be read without running a computed key
        Form::Method(method) => count(syntax, "({m", method.list, ") {}\n})"),
    })
}

/// Returns an expression that is the function, for engines that only read expressions. That is the text itself, unless it
/// is that of a method in shorthand. Returns `None` for a method that cannot stand alone, because it uses `super` or
/// private names.
pub(super) fn expression<'a>(syntax: &Syntax<'_, '_>, source: &'a str) -> Option<Cow<'a, str>> {
    let Method { key, rest, holder: (open, close), .. } = match form(syntax, source) {
        Some(Form::Method(method)) => method,
        // a method of the name `async` begins like an arrow function
        Some(Form::Arrow(list)) => match method(syntax, source, list.len()) {
            Some(method) if !syntax.accepts(&["(", source, "\n)"]) => method,
            _ => return Some(Cow::Borrowed(source)),
        },
        _ => return Some(Cow::Borrowed(source)),
    };
    // outside of such functions these words are names, and a number cannot follow a name
    let is_async = syntax.accepts(&[open, key, "\n() { await 0 }", close]);
    let is_generator = syntax.accepts(&[open, key, "\n() { yield 0 }", close]);
    let words = match (is_async, is_generator) {
        (false, false) => "function ",
        (false, true) => "function* ",
        (true, false) => "async function ",
        (true, true) => "async function* ",
    };
    let whole = format!("{words}{rest}");
    syntax.accepts(&["(", &whole, "\n)"]).then_some(Cow::Owned(whole))
}

fn form<'a>(syntax: &Syntax<'_, '_>, source: &'a str) -> Option<Form<'a>> {
    // the constructor of a class cannot be called, and its methods are not its own
    if source.starts_with("class") && syntax.accepts(&["(", source, "\n)"]) {
        return None;
    }
    source.bytes().enumerate().find_map(|(at, byte)| {
        let (before, from) = source.split_at_checked(at)?;
        match byte {
            b')' if syntax.accepts(&["(", before, ") {}\n)"]) => Some(Form::Function(before)),
            b')' if syntax.accepts(&["(", before, ") => 0\n)"]) => Some(Form::Arrow(before)),
            b')' => method(syntax, source, at).map(Form::Method),
            b'=' if from.starts_with("=>") => syntax.accepts(&["(", before, "=> 0\n)"]).then_some(Form::ArrowOfOne),
            _ => None,
        }
    })
}

/// Reads a method whose parameters end at `end`.
fn method<'a>(syntax: &Syntax<'_, '_>, source: &'a str, end: usize) -> Option<Method<'a>> {
    let holder =
        [OBJECT, CLASS].into_iter().find(|(open, close)| syntax.accepts(&[open, &source[..end], ")\n{}", close]))?;
    source[..end].match_indices('(').find_map(|(at, _)| {
        let (key, rest) = source.split_at(at);
        // a setter must have one parameter, and a getter none
        let is_key = |list| syntax.accepts(&[holder.0, key, list, holder.1]);
        let list = &source[at..end];
        (is_key("\n() {}") || is_key("\n(_) {}")).then_some(Method { key, list, rest, holder })
    })
}

/// Counts the parameters in a list that lacks its closing parenthesis. `before` and `after` make it a script.
fn count(syntax: &Syntax<'_, '_>, before: &str, list: &str, after: &str) -> Parameters {
    let accepts = |list: &str, more: &str| syntax.accepts(&[before, list, more, after]);
    let separators = list.match_indices(',').filter(|(at, _)| accepts(&list[..*at], "")).count();
    // One of the two can always be added: the pattern has no name that another parameter could have, and the name fits
    // parameters that may be called alike, which patterns exclude.
    if accepts(list, ",[]") || accepts(list, ",_") {
        return Parameters { count: separators + 1, rest: false };
    }
    // after a trailing comma, or without any parameter, the next one needs no comma
    let rest = !accepts(list, " []") && !accepts(list, " _");
    Parameters { count: separators, rest }
}

#[cfg(test)]
mod tests {
    use rquickjs::{Context, Runtime};

    use super::{Parameters, Syntax, expression, parameters};

    fn with_syntax<T>(
        test: impl FnOnce(&dyn Fn(&str) -> Option<Parameters>, &dyn Fn(&str) -> Option<String>) -> T,
    ) -> T {
        let runtime = Runtime::new().unwrap();
        let context = Context::full(&runtime).unwrap();
        context.with(|ctx| {
            test(&|source| parameters(&Syntax::new(&ctx), source), &|source| {
                expression(&Syntax::new(&ctx), source).map(|text| text.into_owned())
            })
        })
    }

    #[test]
    fn every_form_of_function_has_its_parameters_counted() {
        with_syntax(|parameters, _| {
            for (source, count, rest) in [
                ("() => 1", 0, false),
                ("x => x", 1, false),
                ("async x => x", 1, false),
                ("x => (y, z) => x", 1, false),
                ("x /* (a, b) */ => x", 1, false),
                ("async (a, cb) => a", 2, false),
                ("(a, b = 1, cb) => cb(null, b)", 3, false),
                ("(a = f(1, [2, 3], {x: ')'}), cb) => a", 2, false),
                ("({a, b}, [c, d] = [1, 2], cb) => 1", 3, false),
                ("(a = `)`, b = /[/)]+/, c = \"\\\")\") => 1", 3, false),
                ("(a = 6 / 2, b, cb) => cb(null, a / b)", 3, false),
                ("(a = 6 / 2, b = 4 / 1, cb) => 1", 3, false),
                ("(a = /[,)/]/, b = 1 / 2, c = /,/g / 2) => 1", 3, false),
                ("(a = b / c / d, e) => 1", 2, false),
                ("(a = `${`,)`}`, b = `${f(1, `)`)},`) => 1", 2, false),
                ("(a = (b, c) => ({d: [b, c]}), e = x => x, f) => a", 3, false),
                ("(a = function (x, y) { return x, y }, b) => a", 2, false),
                ("(a = class { m(x, y) {} }, b) => a", 2, false),
                ("({a: {b = (1, 2), ...c}, [`,${1}`]: d}, [, , e]) => 1", 2, false),
                ("(_, cb) => 1", 2, false),
                ("(a, b,) => 1", 2, false),
                ("(a, b // , c)\n, d /* , e) */) => 1", 3, false),
                ("(...args) => 1", 0, true),
                ("(a, ...rest) => 1", 1, true),
                ("(a = 1, ...[b, c]) => 1", 1, true),
                ("function anonymous(...args\n) {\n}", 0, true),
                ("function(e) {}", 1, false),
                ("function (a, a, _) { return a }", 3, false),
                ("function (\n) {}", 0, false),
                ("function* g(a, b,) {}", 2, false),
                ("async function* (a, b = 1) {}", 2, false),
                ("async function f /* (no, not, here) */ (a) {}", 1, false),
                ("// (a, b)\n(a /* , b */, c // d\n) => 1", 2, false),
                ("m(x, cb) { cb() }", 2, false),
                ("// (no)\nm(x, cb) { cb() }", 2, false),
                ("async m() {}", 0, false),
                ("async(x, cb) { return y => 1 }", 2, false),
                ("* m(a, b) { yield a }", 2, false),
                ("async *m(a, b, c) {}", 3, false),
                ("['a b'](x) {}", 1, false),
                ("[f('(', 1)](x, y) {}", 2, false),
                ("[Symbol.iterator]() {}", 0, false),
                ("'a b'(x) {}", 1, false),
                ("'(x) {} //'(x, y) {}", 2, false),
                ("1.5(x) {}", 1, false),
                ("get(key, callback) {}", 2, false),
                ("get x() { return 1 }", 0, false),
                ("set x(v) {}", 1, false),
                ("set x({a, b} = {}) {}", 1, false),
                ("static m(a, b) {}", 2, false),
                ("function(x) { return x }", 1, false),
                ("m(a = super.x, cb) {}", 2, false),
                ("constructor(a, b) {}", 2, false),
                ("#private(a, b, c) {}", 3, false),
                ("é(ü, ß) { return 'ö' }", 2, false),
            ] {
                assert_eq!(parameters(source), Some(Parameters { count, rest }), "{source}");
            }
        });
    }

    #[test]
    fn text_that_is_not_a_function_has_no_parameters() {
        with_syntax(|parameters, _| {
            for source in [
                "",
                "42",
                "class A { constructor(x) {} }",
                "class { m(x) {} }",
                "(",
                "(a, b",
                "function",
                "async",
                "'",
                "/*",
                "(a = '",
                "\0",
                // it is a function, but quickjs-ng 0.16 does not compile it, so it is never called
                "async => async",
            ] {
                assert_eq!(parameters(source), None, "{source}");
            }
        });
    }

    #[test]
    fn a_parameter_list_of_any_length_is_read_or_refused_soon() {
        with_syntax(|parameters, _| {
            let long = |text: &str, times| format!("(a = '{}', b) => 1", text.repeat(times));
            assert_eq!(parameters(&long("x", 100_000)), Some(Parameters { count: 2, rest: false }));
            assert_eq!(parameters(&long("),", 100)), Some(Parameters { count: 2, rest: false }));
            assert_eq!(parameters(&long("),", 1_000_000)), None);
        });
    }

    #[test]
    fn only_methods_in_shorthand_are_rewritten_and_stay_asynchronous_or_generators() {
        with_syntax(|_, expression| {
            for same in [
                "() => 1",
                "x => x",
                "async (a, cb) => a",
                "function (a) { return { m(x) {} } }",
                "async function* f() {}",
                "class A { m(x) {} }",
                "function(x) { return x }",
                "(a) => ({ m(x) {} })",
                "not a function",
            ] {
                assert_eq!(expression(same).as_deref(), Some(same));
            }
            for (source, expected) in [
                ("m(x) { return x; }", "function (x) { return x; }"),
                ("async(x) { return x; }", "function (x) { return x; }"),
                ("get(key, cb) { cb(key) }", "function (key, cb) { cb(key) }"),
                ("async m(x) { await x }", "async function (x) { await x }"),
                ("*m(x) { yield x }", "function* (x) { yield x }"),
                ("* ['m'] (x = 6 / 2) { yield x }", "function* (x = 6 / 2) { yield x }"),
                ("async * m(x) { yield await x }", "async function* (x) { yield await x }"),
                ("async *[Symbol.asyncIterator]() {}", "async function* () {}"),
                ("get x() { return (1) }", "function () { return (1) }"),
                ("set x(v) { this.y = (v) }", "function (v) { this.y = (v) }"),
                ("[f('(x) {}', (1))](x) {}", "function (x) {}"),
                ("'(x) {} //'(y) {}", "function (y) {}"),
                ("42(x) {}", "function (x) {}"),
                ("static m(x) { return x }", "function (x) { return x }"),
                ("static async m(x) { await x }", "async function (x) { await x }"),
                ("if(x) { return x }", "function (x) { return x }"),
                ("async /* ( */ m // )\n(x) {}", "async function (x) {}".trim()),
                ("await(x) { return await(x) }", "function (x) { return await(x) }"),
            ] {
                assert_eq!(expression(source).as_deref(), Some(expected), "{source}");
            }
            for lost in ["m(x) { return super.m(x) }", "m(x) { return this.#x }"] {
                assert_eq!(expression(lost), None, "{lost}");
            }
        });
    }
}
