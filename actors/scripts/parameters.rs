//! Counts the parameters of a function from its source text, without running it.
//!
//! The `length` of a function does not suffice: it does not count a parameter that has a default, or any after it, or a
//! rest parameter. All of these decide whether a function answers through its callback.

/// The parameters of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The number of parameters, without a rest parameter.
    pub count: usize,
    /// Whether a rest parameter collects further arguments.
    pub rest: bool,
}

impl Parameters {
    /// Returns how many arguments precede the callback, if the caller passed `passed`.
    pub(super) fn before_callback(self, passed: usize) -> usize {
        passed.max(self.count.saturating_sub(1))
    }

    /// Returns whether a parameter receives the argument at `index`.
    pub(super) fn declares(self, index: usize) -> bool {
        self.rest || index < self.count
    }
}

/// Counts the parameters of a function. Returns `None` if the text is not that of a function, or is that of a native
/// one.
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

/// Counts the parameters in a list. `at` follows the opening parenthesis.
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

/// Returns the index of the comma or parenthesis that ends a parameter.
fn skip_parameter(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !matches!(text[at], b',' | b')') {
        at = skip_element(text, at);
    }
    at
}

/// Returns the index after a token, or after a bracket that opens and everything up to its closing one.
fn skip_element(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        None => at,
        Some(b'(' | b'[' | b'{') => {
            // kinds of brackets need not be told apart, because mismatched ones do not compile
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

/// Returns the index after a string or template. Treats the expressions in a template as text, which is wrong only if
/// one contains a backtick.
fn skip_quoted(text: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Returns the index after a regular expression, or after a slash that no other slash follows on its line.
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

/// Returns the index after white space and comments.
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

/// Returns the index after `word`, if exactly this word is at `at`.
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
    fn every_form_of_function_has_its_parameters_counted() {
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
    fn text_that_is_not_a_function_has_no_parameters() {
        for source in
            ["", "42", "class A { constructor(x) {} }", "(", "(a, b", "function", "async", "'", "/*", "(a = '"]
        {
            assert_eq!(parameters(source), None, "{source}");
        }
    }
}
