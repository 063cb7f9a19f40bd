//! The arguments that describe a node.

use clap::Args;

/// What a node is told on the command line. Flags win over the configuration.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// IP address or host name to bind; 0.0.0.0 and :: need --advertise [default: 127.0.0.1]
    #[arg(long)]
    pub(crate) ip: Option<String>,
    /// Port to bind, 0 for a free one [default: 8080]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) port: Option<u16>,
    /// Configuration as a serialized object or JSON: {ip, port, advertise, onStart, membership, join, groups, cluster}; -
    /// reads it from standard input
    #[arg(long, value_name = "TEXT")]
    pub(crate) config: Option<String>,
    /// Where others reach this node, if not where it is bound
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<chinwag::NodeAddr>,
    /// Join the nodes that this one knows; may be given several times, each is tried until one answers
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Vec<String>,
    /// Be in this group from the start; may be given several times
    #[arg(long, value_name = "GID")]
    pub(crate) group: Vec<String>,
    /// Name of the cluster; nodes of clusters with different names never mix [default: empty]
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Whether to watch who is alive [default: on]
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) membership: Option<String>,
    /// Milliseconds between two probes; everything about failure detection scales with it [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) probe_interval: Option<u64>,
    /// Allow an address that others can reach, with nothing to keep strangers out
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Run functions that other nodes ship here
    #[arg(long, value_name = "on|off", default_value = "on", action = clap::ArgAction::Set, value_parser = on_or_off)]
    pub(crate) scripts: bool,
    /// Print the line that says the node is up as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads a switch.
fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off"),
    }
}
