//! `chinwag call`: calls any service of a running node from the shell.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use chinwag::{
    Answer, Call, CallError, Gid, HttpTransport, NodeAddr, Value,
    actors::transport::Transport,
    protocol::call::CallContext,
    protocol::wire::{self, Limits},
};
use clap::Args;

use crate::{ending::fail, typed::read_json};

/// The length of the longest answer that is printed, in bytes. An answer with indentation can be several times as long as the
/// message that brought it.
const MAX_PRINTED: usize = 64 << 20;

/// The call, and the node that it is made on.
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// Group, or `local`
    gid: Gid,
    /// Service
    service: String,
    /// Method
    method: String,
    /// Arguments: JSON or JSON5, or a word as text; text that begins like JSON needs quotes
    #[arg(allow_negative_numbers = true)]
    args: Vec<String>,
    /// Node to call
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    connect: NodeAddr,
    /// Timeout in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    deadline: f64,
}

/// Prints the answer as JSON on stdout, and failures on stderr.
pub(super) async fn run(args: CallArgs) -> ExitCode {
    let Some(time_left) = Duration::try_from_secs_f64(args.deadline).ok().filter(|deadline| !deadline.is_zero()) else {
        return fail(&format!("not a deadline in seconds: {}", args.deadline));
    };
    let arguments = args.args.iter().zip(1..).map(|(text, number)| argument(number, text));
    let arguments = match arguments.collect::<Result<Vec<Value>, String>>() {
        Ok(arguments) => arguments,
        // an invalid command line
        Err(why) => {
            fail(&why);
            return ExitCode::from(2);
        }
    };
    let context = CallContext::new(time_left);
    let call = Call::new(args.gid, args.service, args.method, arguments).within(context);
    if let Err(why) = call.check_names() {
        return fail(&why);
    }
    match HttpTransport::new(Limits::default()).call(&args.connect, call).await {
        Err(why) => fail(&named(&why)),
        Ok(Answer::Value(value)) => print(&value),
        Ok(Answer::Group { errors, value }) => {
            let code = print(&value);
            for (sid, why) in &errors {
                fail(&format!("{sid}: {}", named(why)));
            }
            if errors.is_empty() { code } else { ExitCode::FAILURE }
        }
    }
}

fn named(why: &CallError) -> String {
    let cause = match &why.cause {
        Value::Undefined | Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("\n{text}"),
        cause => wire::encode_plain_within(cause, MAX_PRINTED)
            .map_or_else(|why| format!(" (the cause cannot be shown: {why})"), |cause| format!(" ({cause})")),
    };
    format!("{}: {why}{cause}", why.kind.name())
}

/// The value of an argument. Words are text, SIDs (`12ab0`) and addresses (`127.0.0.1`) included, unless the whole word
/// is JSON (`12`, `true`, `null`). An argument that begins like an object, an array or a string must be valid JSON.
fn argument(number: usize, text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with(['{', '[', '"', '\'']) {
        let refused =
            |why| format!("argument {number} begins like JSON and is {why}; to pass it as text, quote it as JSON");
        return read_json(text).map_err(refused);
    }
    Ok(serde_json::from_str(text).map_or_else(|_| Value::from(text), Value::from_json))
}

fn print(value: &Value) -> ExitCode {
    let json = match wire::encode_pretty_within(value, MAX_PRINTED) {
        Ok(json) => json,
        Err(why) => return fail(&format!("the answer cannot be written as JSON: {why}")),
    };
    let mut stdout = io::stdout();
    match writeln!(stdout, "{json}").and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // the call was made, and the reader needs no more of the answer
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => fail(&format!("cannot print the answer: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_text_and_json_is_parsed() {
        for (text, value) in [
            (r#"{"ip":"127.0.0.1", port: 40515}"#, serde_json::json!({"ip": "127.0.0.1", "port": 40515})),
            ("['a', 1,]", serde_json::json!(["a", 1])),
            ("'it is text'", serde_json::json!("it is text")),
            (r#""12""#, serde_json::json!("12")),
            ("12", serde_json::json!(12)),
            ("-0.5", serde_json::json!(-0.5)),
            ("null", serde_json::Value::Null),
            // none of these is JSON
            ("sid", serde_json::json!("sid")),
            ("12ab0", serde_json::json!("12ab0")),
            ("127.0.0.1:8080", serde_json::json!("127.0.0.1:8080")),
            ("-x", serde_json::json!("-x")),
            ("it's", serde_json::json!("it's")),
            ("(s) => s", serde_json::json!("(s) => s")),
            ("", serde_json::json!("")),
        ] {
            assert_eq!(argument(1, text), Ok(Value::from_json(value)), "{text}");
        }
    }

    #[test]
    fn an_argument_that_begins_like_json_and_is_invalid_is_refused_with_its_place() {
        for (text, place) in [
            (r#"{"ip":"127.0.0.1", port: }"#, "line 1 column 26"),
            ("{ip: 127.0.0.1}", "line 1 column 6"),
            ("[1, 2", "line 1 column 6"),
            (r#""abc"#, "line 1 column 5"),
            ("'abc", "line 1 column 5"),
            (r#""a" b"#, "line 1 column 5"),
        ] {
            let why = argument(3, text).unwrap_err();
            assert!(why.starts_with("argument 3 ") && why.contains(place), "{text}: {why}");
        }
    }
}
