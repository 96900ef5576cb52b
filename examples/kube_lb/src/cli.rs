//! The command line.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use lb_proxy::lb_core::Escaped;

use crate::clusters::ClusterPlace;
use crate::config::Config;
use crate::controller::look;
use crate::explain::{ExplainedKind, explain, problems};
use crate::gateway::policy_definition;
use crate::objects::ObjectName;
use crate::{process, rbac};

/// How long the commands that only show wait for the API server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The load balancer of a Kubernetes cluster on your own hardware.
#[derive(Debug, Parser)]
#[command(name = "kube_lb", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the cluster until SIGTERM or SIGINT
    Run {
        #[command(flatten)]
        file: ConfigPath,
        /// Prints what would be listened on and why, and ends
        #[arg(long)]
        plan: bool,
    },
    /// Says what happens to an object, and why
    Explain {
        #[command(subcommand)]
        object: Object,
    },
    /// Prints the definition of the kind ConnectionPolicy, for kubectl apply
    PolicyCrd,
    /// Prints the manifest of the permissions that the program needs
    Rbac {
        /// The namespace of the ServiceAccount and of the Lease
        #[arg(long, default_value = "kube-lb")]
        namespace: String,
        /// Prints those of a cluster that only adds endpoints to the Services of the primary one
        #[arg(long)]
        remote: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Object {
    /// A Service
    Service(Named),
    /// A Gateway
    Gateway(Named),
    /// A ListenerSet
    #[command(name = "listenerset")]
    ListenerSet(Named),
    /// A TCPRoute
    #[command(name = "tcproute")]
    TcpRoute(Named),
    /// A TLSRoute
    #[command(name = "tlsroute")]
    TlsRoute(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Its namespace and name
    #[arg(value_name = "NAMESPACE/NAME")]
    name: String,
    #[command(flatten)]
    file: ConfigPath,
}

impl Object {
    fn named(self) -> (ExplainedKind, Named) {
        match self {
            Self::Service(named) => (ExplainedKind::Service, named),
            Self::Gateway(named) => (ExplainedKind::Gateway, named),
            Self::ListenerSet(named) => (ExplainedKind::ListenerSet, named),
            Self::TcpRoute(named) => (ExplainedKind::TcpRoute, named),
            Self::TlsRoute(named) => (ExplainedKind::TlsRoute, named),
        }
    }
}

#[derive(Debug, clap::Args)]
struct ConfigPath {
    /// The configuration
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/kube_lb/kube_lb.yaml"
    )]
    config: PathBuf,
}

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Reads the arguments of the process, and runs the command.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("kube_lb: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text += &format!(": {error}");
                cause = error.source();
            }
            // Without standard error there is nowhere to complain.
            drop(writeln!(io::stderr(), "{text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Fallible<()> {
    match arguments.command {
        Command::Run { file, plan: false } => {
            process::run(Config::read(&file.config)?, file.config)
        }
        Command::Run { file, plan: true } => {
            let config = Config::read(&file.config)?;
            let connect = Box::new(ClusterPlace::cluster);
            let looked = runtime()?.block_on(look(&config, connect, PATIENCE))?;
            // Objects may hold any text: it cannot control the terminal.
            let plan = looked.to_string();
            let lines = plan.lines().map(|line| format!("{}\n", Escaped(line)));
            print(&(lines.collect::<String>() + &problems(&looked, &config)))
        }
        Command::Explain { object } => {
            let (kind, Named { name, file }) = object.named();
            let config = Config::read(&file.config)?;
            let (namespace, name) = name
                .split_once('/')
                .ok_or("name the object as NAMESPACE/NAME")?;
            let connect = Box::new(ClusterPlace::cluster);
            let looked = runtime()?.block_on(look(&config, connect, PATIENCE))?;
            let name = ObjectName::new(namespace, name);
            print(&explain(&looked, &config, kind, &name)?)
        }
        Command::PolicyCrd => print(&policy_definition()),
        Command::Rbac { namespace, remote } => print(&match remote {
            true => rbac::remote_manifest(&namespace),
            false => rbac::manifest(&namespace),
        }),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn print(text: &str) -> Fallible<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
