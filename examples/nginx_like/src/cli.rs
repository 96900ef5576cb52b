//! The command line, as nginx's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use crate::config::main::Config;
use crate::console::print_line;
use crate::demo;
use crate::process::error::StartError;
use crate::process::files::conf_path::ConfPath;
use crate::process::helper;
use crate::process::run;
use crate::process::send_signal::SignalCommand;
use crate::process::test_config;

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

    /// Sends a signal to the process with the id in the `pid` file of the configuration, and exits
    #[arg(short, value_name = "SIGNAL", value_enum)]
    signal: Option<SignalCommand>,

    /// Tests the configuration and exits
    #[arg(short)]
    test: bool,

    /// With -t, prints errors only
    #[arg(short)]
    quiet: bool,

    /// Runs the helper of a server that gave up root; for nginx_like itself
    #[arg(long, value_name = "UID", hide = true)]
    helper: Option<u32>,

    /// Prints the version and exits
    #[arg(short, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let command = <Arguments as clap::CommandFactory>::command().version(env!("CARGO_PKG_VERSION"));
    let matches = match command.try_get_matches_from(&line) {
        Ok(matches) => matches,
        Err(answer) => {
            // Help and version are not errors. A closed output is none either.
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
        helper::server::serve(arguments.path(), owner)
    } else if arguments.test {
        test(&arguments)
    } else if let Some(command) = arguments.signal {
        signal(&arguments, command)
    } else if line.len() < 2 {
        demo::run()
    } else {
        run::run(arguments.path(), || load(&arguments))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(&format!("[{}] {error}", error.level()));
            if tests {
                print_line(&format!(
                    "configuration file {} test failed",
                    conf.display()
                ));
            }
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// Empty for the current directory, so that file names do not begin with `./`.
    fn prefix(&self) -> &Path {
        self.prefix.strip_prefix(".").unwrap_or(&self.prefix)
    }

    fn conf(&self) -> PathBuf {
        self.prefix().join(&self.conf)
    }

    fn path(&self) -> ConfPath {
        ConfPath {
            conf: self.conf.clone(),
            prefix: self.prefix().to_owned(),
        }
    }
}

/// Sends a signal to the process that serves already.
fn signal(arguments: &Arguments, command: SignalCommand) -> Result<(), StartError> {
    let config = load(arguments)?;
    Ok(command.send(config.pid.as_deref())?)
}

fn load(arguments: &Arguments) -> Result<Config, StartError> {
    let config = arguments.path().load()?;
    if !arguments.quiet {
        for warning in &config.warnings {
            print_line(&format!("[warn] {warning}"));
        }
    }
    Ok(config)
}

/// Tests the configuration and prints the result.
fn test(arguments: &Arguments) -> Result<(), StartError> {
    let config = load(arguments)?;
    let conf = arguments.conf();
    if !arguments.quiet {
        print_line(&format!(
            "the configuration file {} syntax is ok",
            conf.display()
        ));
    }
    test_config::test(&config)?;
    if !arguments.quiet {
        print_line(&format!(
            "configuration file {} test is successful",
            conf.display()
        ));
    }
    Ok(())
}
