//! What a line of a prompt declares, and the script that keeps it.
//!
//! A script's own `let`, `const` and `class` stay bound, even if the script throws before it assigns them: the name
//! could never be used again. At a prompt, such a line becomes a block, and each name a property of the global object
//! with accessors of the block's variable. The line's functions share the variable, the value of the block is that of the
//! line, and `await` is allowed. The properties go if the line throws. `__declare` is a function of the prelude that
//! exists only while the block begins.
//!
//! The engine finds the names: a name is declared if it is a word of the line and the engine refuses to declare it again.
//!
//! Differences from Node.js: such a name is also a property of `globalThis`, a function beside one is hoisted to the start
//! of its line, and a line that begins with `'use strict'` and declares such a name is not strict.

use std::collections::BTreeSet;

use rquickjs::Ctx;

use super::unfinished::{as_object, compile};

/// The first line of the script. The line that was typed is line 1; the engine takes 0 for a missing number.
pub(super) const BEFORE_LINE: i32 = -1;

/// A line of a prompt as a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    /// The number of the first line of `text`.
    pub first: i32,
    /// Whether `text` calls `__declare`.
    pub declares: bool,
}

/// The words that the language reserves, which are no names.
const RESERVED: [&str; 42] = [
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "import",
    "in",
    "instanceof",
    "let",
    "new",
    "null",
    "return",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Makes the script of a line that was typed.
pub(super) fn script(ctx: &Ctx<'_>, typed: &str) -> Line {
    let whole = |text: String| Line { text, first: 1, declares: false };
    if let Some(object) = as_object(typed).filter(|object| compile(ctx, object).is_ok()) {
        // the place of an error would move with the parenthesis, which is on a line of its own
        return Line { text: format!("\n(\n{}", &object[1..]), first: BEFORE_LINE, declares: false };
    }
    let is_candidate = ["let", "const", "class"].iter().any(|word| typed.contains(word));
    if !is_candidate || compile(ctx, typed).is_err() {
        return whole(typed.to_owned());
    }
    let words = words(typed);
    let mut lexical = Vec::new();
    redeclared(ctx, typed, "", &words, &mut lexical);
    let mut in_block = Vec::new();
    redeclared(ctx, typed, "{", &words, &mut in_block);
    if lexical.is_empty() || compile(ctx, &format!("{{{typed}\n}}")).is_err() {
        return whole(typed.to_owned());
    }
    let accessors: Vec<String> = lexical.iter().map(|name| accessor(name)).collect();
    let functions = in_block.iter().filter(|name| !lexical.contains(name));
    let functions: Vec<String> = functions.map(|name| format!("[{name:?}, () => {name}]")).collect();
    let declares = format!("__declare([{}], [{}]);", accessors.join(", "), functions.join(", "));
    Line { text: format!("{{{declares}\n\n{typed}\n}}"), first: BEFORE_LINE, declares: true }
}

/// The name of a variable, and functions that read and assign it.
fn accessor(name: &str) -> String {
    let value = if name == "value" { "assigned" } else { "value" };
    format!("[{name:?}, () => {name}, ({value}) => {{ {name} = {value}; }}]")
}

/// Returns the words of a text that can be names.
fn words(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
    let words = words.filter(|word| word.starts_with(|c: char| !c.is_numeric()) && !RESERVED.contains(word));
    words.collect::<BTreeSet<&str>>().into_iter().collect()
}

/// Finds the words that the engine refuses to declare again with `var` at the end of the text, by halves.
fn redeclared<'a>(ctx: &Ctx<'_>, text: &str, open: &str, words: &[&'a str], found: &mut Vec<&'a str>) {
    let close = if open.is_empty() { "" } else { "}" };
    if words.is_empty() || compile(ctx, &format!("{open}{text}\n;var {}\n{close}", words.join(", "))).is_ok() {
        return;
    }
    if let [word] = words {
        found.push(word);
        return;
    }
    let (left, right) = words.split_at(words.len() / 2);
    redeclared(ctx, text, open, left, found);
    redeclared(ctx, text, open, right, found);
}

#[cfg(test)]
mod tests {
    use rquickjs::{Context, Runtime};

    use super::*;

    fn made(typed: &str) -> Line {
        let context = Context::full(&Runtime::new().unwrap()).unwrap();
        context.with(|ctx| script(&ctx, typed))
    }

    #[test]
    fn what_a_line_declares_is_found_by_the_engine() {
        for (typed, lexical, functions) in [
            ("let a = 1", vec!["a"], vec![]),
            ("const {a, b: [c]} = d, e = f", vec!["a", "c", "e"], vec![]),
            ("class A extends B {}", vec!["A"], vec![]),
            ("let value = '} let x'; // let y", vec!["value"], vec![]),
            ("let a = 1; function f() { let b; } async function g() {}", vec!["a"], vec!["f", "g"]),
            ("let π = 3", vec!["π"], vec![]),
            ("let a = await b; var c", vec!["a"], vec![]),
            ("let a = 1 // comment", vec!["a"], vec![]),
        ] {
            let names = |names: Vec<&str>, form: fn(&str) -> String| {
                names.into_iter().map(form).collect::<Vec<String>>().join(", ")
            };
            let (lexical, functions) = (names(lexical, accessor), names(functions, |f| format!("[{f:?}, () => {f}]")));
            let text = format!("{{__declare([{lexical}], [{functions}]);\n\n{typed}\n}}");
            assert_eq!(made(typed), Line { text, first: BEFORE_LINE, declares: true });
        }
    }

    #[test]
    fn a_line_without_such_declarations_is_run_as_it_is() {
        for typed in
            ["1", "let", "let a; let a", "var a = 1; f(a)", "function f() { let a }", "if (a) { let b }", "'let a'"]
        {
            assert_eq!(made(typed), Line { text: typed.to_owned(), first: 1, declares: false });
        }
    }

    #[test]
    fn a_line_that_can_be_an_object_is_one() {
        assert_eq!(made("{a: 1}"), Line { text: "\n(\n{a: 1}\n)".to_owned(), first: BEFORE_LINE, declares: false });
        assert_eq!(made("{a: 1};"), Line { text: "{a: 1};".to_owned(), first: 1, declares: false });
        assert_eq!(made("{ let a = 1 }"), Line { text: "{ let a = 1 }".to_owned(), first: 1, declares: false });
    }
}
