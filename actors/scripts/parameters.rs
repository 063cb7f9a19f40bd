//! What the text of a function says of its parameters, without running it.
//!
//! `length` does not tell: it stops at the first parameter with a default and leaves a rest parameter out, and both
//! decide whether a function answers through its callback.

/// How a function takes its arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Parameters with a place of their own.
    pub count: usize,
    /// Whether the others come in an array.
    pub rest: bool,
}

impl Parameters {
    /// How many arguments come before the callback, of which `given` were given.
    pub fn before_callback(self, given: usize) -> usize {
        given.max(self.count.saturating_sub(1))
    }

    /// Whether the argument at `place` has a parameter.
    pub fn declares(self, place: usize) -> bool {
        self.rest || place < self.count
    }
}

/// Reads the parameters off a function's text. Nothing for what has no list of them there, a native function's text
/// or one that is no function.
pub(super) fn parameters(source: &str) -> Option<Parameters> {
    let text = source.as_bytes();
    let mut at = skip_blank(text, 0);
    if let Some(after) = word(text, at, b"async") {
        // `async => 1` has a parameter of that name
        if !text[skip_blank(text, after)..].starts_with(b"=>") {
            at = skip_blank(text, after);
        }
    }
    if let Some(after) = word(text, at, b"function") {
        at = skip_blank(text, after);
    }
    if text.get(at) == Some(&b'*') {
        at = skip_blank(text, at + 1);
    }
    match text.get(at)? {
        b'(' => {}
        b'[' => at = skip_blank(text, skip_element(text, at)),
        quote @ (b'"' | b'\'') => at = skip_blank(text, skip_quoted(text, at, *quote)),
        _ => {
            at += text[at..].iter().take_while(|&&byte| is_name(byte)).count();
            at = skip_blank(text, at);
            // an arrow without parentheses has one parameter
            if text[at..].starts_with(b"=>") {
                return Some(Parameters { count: 1, rest: false });
            }
        }
    }
    if text.get(at) != Some(&b'(') {
        return None;
    }
    list(text, at + 1)
}

/// The list that starts at `at`, after its parenthesis.
fn list(text: &[u8], mut at: usize) -> Option<Parameters> {
    let mut parameters = Parameters::default();
    loop {
        at = skip_blank(text, at);
        match text.get(at)? {
            b')' => return Some(parameters),
            b',' => at += 1,
            b'.' => {
                parameters.rest = true;
                at = skip_parameter(text, at);
            }
            _ => {
                parameters.count += 1;
                at = skip_parameter(text, at);
            }
        }
    }
}

/// To the comma or parenthesis that ends a parameter.
fn skip_parameter(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !matches!(text[at], b',' | b')') {
        at = skip_element(text, at);
    }
    at
}

/// Past one token, or past a bracket and all that is in it.
fn skip_element(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        None => at,
        Some(b'(' | b'[' | b'{') => {
            // how deep, not which: what is not balanced does not compile anyway
            let (mut at, mut open) = (at + 1, 1_usize);
            while at < text.len() && open > 0 {
                match text[at] {
                    b'(' | b'[' | b'{' => {
                        open += 1;
                        at += 1;
                    }
                    b')' | b']' | b'}' => {
                        open -= 1;
                        at += 1;
                    }
                    _ => at = skip_token(text, at),
                }
            }
            at
        }
        Some(_) => skip_token(text, at),
    }
}

fn skip_token(text: &[u8], at: usize) -> usize {
    match text[at] {
        quote @ (b'"' | b'\'' | b'`') => skip_quoted(text, at, quote),
        b'/' => {
            let past = skip_blank(text, at);
            if past > at { past } else { skip_regular_expression(text, at) }
        }
        _ => at + 1,
    }
}

/// Past a string or template. What a template computes is taken for text, which is right unless it quotes a backtick.
fn skip_quoted(text: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Past a regular expression, or a single slash if no other follows on the line.
fn skip_regular_expression(text: &[u8], at: usize) -> usize {
    let (mut end, mut class) = (at + 1, false);
    while let Some(&byte) = text.get(end) {
        match byte {
            b'\n' => break,
            b'\\' => end += 1,
            b'[' => class = true,
            b']' => class = false,
            b'/' if !class => return end + 1,
            _ => {}
        }
        end += 1;
    }
    at + 1
}

/// Past space and comments.
fn skip_blank(text: &[u8], mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let find = |end: &[u8]| rest.windows(end.len()).skip(2).position(|part| part == end).map(|found| found + 2);
        match rest {
            [byte, ..] if byte.is_ascii_whitespace() => at += 1,
            [b'/', b'/', ..] => at += find(b"\n").unwrap_or(rest.len()),
            [b'/', b'*', ..] => at += find(b"*/").map_or(rest.len(), |found| found + 2),
            _ => return at.min(text.len()),
        }
    }
}

/// Past `word`, where it stands at `at` as a whole.
fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let rest = text.get(at..)?.strip_prefix(word)?;
    rest.first().is_none_or(|&byte| !is_name(byte)).then_some(at + word.len())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'.') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::{Parameters, parameters};

    #[test]
    fn parameters_are_counted_as_they_are_declared() {
        for (source, count, rest) in [
            ("() => 1", 0, false),
            ("x => x", 1, false),
            ("async x => x", 1, false),
            ("async => async", 1, false),
            ("async (a, cb) => a", 2, false),
            ("(a, b = 1, cb) => cb(null, b)", 3, false),
            ("(a = f(1, [2, 3], {x: ')'}), cb) => a", 2, false),
            ("({a, b}, [c, d] = [1, 2], cb) => 1", 3, false),
            ("(a = `)`, b = /[/)]+/, c = \"\\\")\") => 1", 3, false),
            ("(...args) => 1", 0, true),
            ("(a, ...rest) => 1", 1, true),
            ("function anonymous(...args\n) {\n}", 0, true),
            ("function(e) {}", 1, false),
            ("function* g(a, b,) {}", 2, false),
            ("async function f /* (no, not, here) */ (a) {}", 1, false),
            ("// (a, b)\n(a /* , b */, c // d\n) => 1", 2, false),
            ("m(x, cb) { cb() }", 2, false),
            ("async m() {}", 0, false),
            ("['a b'](x) {}", 1, false),
            ("'a b'(x) {}", 1, false),
            ("get(key, callback) {}", 2, false),
        ] {
            assert_eq!(parameters(source), Some(Parameters { count, rest }), "{source}");
        }
    }

    #[test]
    fn what_is_no_function_has_none() {
        for source in
            ["", "42", "class A { constructor(x) {} }", "(", "(a, b", "function", "async", "'", "/*", "(a = '"]
        {
            assert_eq!(parameters(source), None, "{source}");
        }
    }
}
