//! `chinwag call`: any service of a running node, from the shell.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use chinwag::{
    Answer, Call, CallError, Gid, NodeAddr, Value, actors::transport::Transport, http::client::HttpTransport,
    protocol::call::CallContext, protocol::wire::Limits,
};
use clap::Args;

use super::fail;

/// What to call, and where.
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// The group, or `local`
    gid: Gid,
    /// The service
    service: String,
    /// Its method
    method: String,
    /// The arguments, each as JSON; what is not JSON is taken as text
    #[arg(allow_negative_numbers = true)]
    args: Vec<String>,
    /// The node to call
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    connect: NodeAddr,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    deadline: f64,
}

/// Prints the answer as JSON on stdout; what failed, on stderr.
pub(super) async fn run(args: CallArgs) -> ExitCode {
    let Some(time_left) = Duration::try_from_secs_f64(args.deadline).ok().filter(|deadline| !deadline.is_zero()) else {
        return fail(&format!("not a deadline in seconds: {}", args.deadline));
    };
    let arguments = args.args.iter().map(|text| argument(text)).collect();
    let context = CallContext { time_left, ..CallContext::default() };
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
        cause => cause.to_json().map_or_else(|_| String::new(), |cause| format!(" ({cause})")),
    };
    format!("{}: {why}{cause}", why.kind.name())
}

fn argument(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| Value::from(text), Value::from_json)
}

fn print(value: &Value) -> ExitCode {
    let json = match value.to_json() {
        Ok(json) => json,
        Err(why) => return fail(&format!("the answer has no form in JSON: {why}")),
    };
    let mut stdout = io::stdout();
    match writeln!(stdout, "{json:#}").and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // the call was made, and whoever was reading has read enough
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => fail(&format!("cannot print the answer: {why}")),
    }
}
