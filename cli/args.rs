//! The arguments that describe a node.

use clap::Args;

/// The settings of a node on the command line. A flag takes precedence over the configuration.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// IP address or host name to bind; 0.0.0.0 and :: need --advertise [default: 127.0.0.1]
    #[arg(long)]
    pub(crate) ip: Option<String>,
    /// Port to bind; 0 picks a free one [default: 8080]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) port: Option<u16>,
    /// Configuration as a serialized object or JSON: {ip, port, advertise, onStart, membership, join, groups, cluster};
    /// - reads it from standard input
    #[arg(long, value_name = "TEXT")]
    pub(crate) config: Option<String>,
    /// Address at which other nodes reach this one, if it differs from the bound address
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<chinwag::NodeAddr>,
    /// Join the cluster of this node; may be repeated, the first node that answers is used
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Vec<String>,
    /// Enter this group at the start; may be repeated
    #[arg(long, value_name = "GID")]
    pub(crate) group: Vec<String>,
    /// Name of the cluster; clusters with different names never merge [default: empty]
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Detect failed nodes, and remove them from groups [default: on]
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    pub(crate) membership: Option<String>,
    /// Milliseconds between two probes; all times of failure detection scale with it [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) probe_interval: Option<u64>,
    /// Bind an address that other machines can reach, although nothing authenticates them
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Run functions that other nodes ship
    #[arg(long, value_name = "on|off", default_value = "on", action = clap::ArgAction::Set, value_parser = on_or_off)]
    pub(crate) scripts: bool,
    /// Whether the code of all services shares one global object, or each service has its own
    #[arg(long, value_name = "shared|service", default_value = "shared", value_parser = ["shared", "service"])]
    pub(crate) realms: String,
    /// Print the address as JSON once the node is up
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses a switch.
fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off"),
    }
}
