//! The command line, in the manner of nginx.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use crate::build::kept::Kept;
use crate::build::loops;
use crate::config::main::Config;
use crate::console::say;
use crate::demo;
use crate::error::StartError;
use crate::process::files::access::{Files, Place};
use crate::process::logs::logging::Logs;
use crate::process::send_signal::Order;
use crate::process::{helper, run, user};

/// Where nginx keeps its configuration, below the prefix.
const DEFAULT_CONF: &str = "conf/nginx.conf";

/// Balances TCP connections as an nginx `stream` configuration says.
///
/// Without arguments it demonstrates itself: three echo servers behind 127.0.0.1:4460. SIGTERM and SIGINT stop at
/// once; SIGQUIT stops accepting and waits for the open connections; SIGHUP reads the configuration again; SIGUSR1 reopens
/// the logs. `-s` sends them.
#[derive(Debug, Parser)]
#[command(name = "nginx_like", disable_version_flag = true)]
struct Arguments {
    /// The configuration file, below the prefix unless absolute
    #[arg(short, value_name = "FILE", default_value = DEFAULT_CONF)]
    conf: PathBuf,

    /// The directory that relative names start from
    #[arg(short, value_name = "DIR", default_value = ".")]
    prefix: PathBuf,

    /// Sends a signal to the process whose id is in the `pid` file of the configuration, and exits
    #[arg(short, value_name = "SIGNAL", value_enum)]
    signal: Option<Order>,

    /// Tests the configuration and exits
    #[arg(short)]
    test: bool,

    /// With -t, prints errors only
    #[arg(short)]
    quiet: bool,

    /// Serves a server that gave up root; for nginx_like itself
    #[arg(long, value_name = "UID", hide = true)]
    helper: Option<u32>,

    /// Prints the version and exits
    #[arg(short, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let command = <Arguments as clap::CommandFactory>::command().version(env!("CARGO_PKG_VERSION"));
    let matches = match command.try_get_matches_from(&line) {
        Ok(matches) => matches,
        Err(answer) => {
            // Help and version are answers too; a closed output is nobody's fault.
            let _ = answer.print();
            return if answer.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let arguments = match <Arguments as clap::FromArgMatches>::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let (conf, tests) = (arguments.conf(), arguments.test);
    let done = if let Some(owner) = arguments.helper {
        helper::server::serve(arguments.place(), owner)
    } else if arguments.test {
        test(&arguments)
    } else if let Some(order) = arguments.signal {
        signal(&arguments, order)
    } else if line.len() < 2 {
        demo::run()
    } else {
        run::run(arguments.place(), || load(&arguments))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("[{}] {error}", error.level()));
            if tests {
                say(&format!(
                    "configuration file {} test failed",
                    conf.display()
                ));
            }
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// The current directory needs no mention in file names.
    fn prefix(&self) -> &Path {
        self.prefix.strip_prefix(".").unwrap_or(&self.prefix)
    }

    fn conf(&self) -> PathBuf {
        self.prefix().join(&self.conf)
    }

    fn place(&self) -> Place {
        Place {
            conf: self.conf.clone(),
            prefix: self.prefix().to_owned(),
        }
    }
}

/// Tells the process that serves already what to do.
fn signal(arguments: &Arguments, order: Order) -> Result<(), StartError> {
    let config = load(arguments)?;
    Ok(order.send(config.pid.as_deref())?)
}

fn load(arguments: &Arguments) -> Result<Config, StartError> {
    let config = arguments.place().load()?;
    if !arguments.quiet {
        for warning in &config.warnings {
            say(&format!("[warn] {warning}"));
        }
    }
    Ok(config)
}

/// Goes as far as one can without listening. Logs and the pid file are opened, as nginx does.
fn test(arguments: &Arguments) -> Result<(), StartError> {
    let config = load(arguments)?;
    let conf = arguments.conf();
    if !arguments.quiet {
        say(&format!(
            "the configuration file {} syntax is ok",
            conf.display()
        ));
    }
    let identity = user::Identity::of(config.user.as_ref())?;
    run::assemble(&config, identity.as_ref(), &mut Kept::default())?;
    loops::find(&config).map_or(Ok(()), Err)?;
    Logs::test(&config, identity.as_ref())?;
    if let Some(path) = &config.pid {
        Files::test_pid(path, identity.as_ref()).map_err(StartError::open(path))?;
    }
    if !arguments.quiet {
        say(&format!(
            "configuration file {} test is successful",
            conf.display()
        ));
    }
    Ok(())
}
