//! The command line: nginx's options, and subcommands beside them.

mod completions;
mod man;
mod print;
mod subcommand;
mod supervise;
mod upgrade;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use crate::config::overrides::Overrides;
use crate::console::print_line;
use crate::demo;
use crate::process::daemon::{self, StartReport};
use crate::process::error::StartError;
use crate::process::files::conf_path::{ConfPath, DEFAULT_CONF, ReadAll};
use crate::process::files::open_log;
use crate::process::helper;
use crate::process::run::{self, Start};
use crate::process::send_signal::SignalCommand;
use crate::process::start_warnings;
use crate::process::test_config;
use crate::process::upgrade::invocation::Invocation;
use crate::process::upgrade::predecessor::Predecessor;
use crate::syntax::error::Os;

use print::{dump, print_error, print_finding, print_version, print_warnings};
use subcommand::{CliCommand, usage_exit};

/// Where distributions and the official image of nginx keep the configuration.
const SYSTEM_CONF: &str = "/etc/nginx/nginx.conf";

/// The name of nginx's program. Units that distributions have for nginx expect a daemon of it.
const NGINX: &str = "nginx";

/// Where distributions keep the process id of a server with the configuration above.
const SYSTEM_PID: &str = "/run/nginx.pid";

/// Balances TCP connections as an nginx `stream` configuration says.
///
/// Without arguments it serves conf/nginx.conf or /etc/nginx/nginx.conf. If there is neither, it demonstrates itself, as with
/// `--demo`. SIGTERM and SIGINT stop at
/// once; SIGQUIT stops accepting and waits for the open connections; SIGHUP reads the configuration again; SIGUSR1 reopens
/// the logs. `-s` sends them. SIGUSR2 starts a new binary, beside which SIGWINCH stops accepting: `upgrade` does all the steps of that.
/// Called by the name nginx, it is a daemon unless the configuration or -g says `daemon off`.
#[derive(Debug, Parser)]
#[command(
    name = "nginx_like",
    disable_version_flag = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
struct Arguments {
    /// The configuration file, below the prefix unless absolute [default: conf/nginx.conf; without -p and that file,
    /// /etc/nginx/nginx.conf]
    #[arg(short, value_name = "FILE", global = true)]
    conf: Option<PathBuf>,

    /// The directory that relative names start from
    #[arg(short, value_name = "DIR", global = true)]
    prefix: Option<PathBuf>,

    /// Directives of the main level, read before the file
    #[arg(
        short = 'g',
        value_name = "DIRECTIVES",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    directives: String,

    /// The log of a configuration without `error_log`: a file or stderr. The file is opened in any case
    #[arg(short, value_name = "FILE")]
    error_log: Option<String>,

    /// Sends a signal to the process with the id in the `pid` file of the configuration, and exits
    #[arg(short, value_name = "SIGNAL", value_enum)]
    signal: Option<SignalCommand>,

    /// Tests the configuration and exits
    #[arg(short)]
    test: bool,

    /// Tests the configuration, prints the files that it consists of, and exits
    #[arg(short = 'T')]
    dump: bool,

    /// With -t or -T, prints errors only
    #[arg(short)]
    quiet: bool,

    /// Demonstrates balancing: three echo servers behind 127.0.0.1:4460
    #[arg(long)]
    demo: bool,

    /// Runs the helper of a server that gave up root; for nginx_like itself
    #[arg(long, value_name = "UID", hide = true)]
    helper: Option<u32>,

    /// Serves as a daemon that was started by `daemon on`; for nginx_like itself
    #[arg(long, hide = true)]
    detached: bool,

    /// The program that a helper starts as a new binary; for nginx_like itself
    #[arg(long, value_name = "FILE", hide = true)]
    binary: Option<PathBuf>,

    /// Serves with the sockets of the process that started this one; for nginx_like itself
    #[arg(long, hide = true)]
    upgrade: bool,

    /// Prints the version and exits
    #[arg(short)]
    version: bool,

    /// Prints the version and what was built in, and exits
    #[arg(short = 'V')]
    build: bool,

    /// Prints this help and exits
    #[arg(short, long, visible_short_alias = '?', action = ArgAction::Help, global = true)]
    help: Option<bool>,

    #[command(subcommand)]
    command: Option<CliCommand>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::try_parse_from(&line) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // The help is not an error. A closed output is none either.
            let _ = answer.print();
            return if answer.use_stderr() {
                usage_exit(&line, &answer)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Some(command) = &arguments.command {
        return command.run(&arguments);
    }
    let tests = arguments.test || arguments.dump;
    if arguments.version || arguments.build {
        print_version(arguments.build);
        if !tests {
            return ExitCode::SUCCESS;
        }
    }
    let done = if let Some(owner) = arguments.helper {
        help(&arguments, owner)
    } else if tests {
        arguments.open_error_log();
        test(&arguments).map(|()| ExitCode::SUCCESS)
    } else if let Some(command) = arguments.signal {
        signal(&arguments, command)
    } else if arguments.demo || line.len() < 2 && !is_nginx(&line) && !has_default_conf() {
        demo::run().map(|()| ExitCode::SUCCESS)
    } else if arguments.upgrade {
        serve_upgraded(&arguments)
    } else if arguments.detached {
        serve_detached(&arguments)
    } else {
        arguments.open_error_log();
        serve(&arguments)
    };
    done.unwrap_or_else(|error| {
        if tests {
            print_finding(&error);
            print_line(&format!(
                "configuration file {} test failed",
                arguments.path().file().display()
            ));
        } else {
            print_error(&error);
        }
        ExitCode::FAILURE
    })
}

/// Serves in the foreground, or by a daemon.
fn serve(arguments: &Arguments) -> Result<ExitCode, StartError> {
    let path = arguments.path();
    let config = path.load()?;
    print_warnings(&config.warnings, arguments.quiet);
    if config.daemon {
        return Ok(match daemon::start()? {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let start = Start {
        invocation: Invocation::of_process(),
        readiness: StartReport::foreground(),
        predecessor: None,
    };
    run::run(path, start, || Ok(config)).map(|()| ExitCode::SUCCESS)
}

/// Serves as a new binary, with the sockets of the process that started this one. As in nginx, it is a daemon if that is one,
/// whatever the configuration says.
fn serve_upgraded(arguments: &Arguments) -> Result<ExitCode, StartError> {
    let predecessor = Predecessor::connect()?;
    let path = arguments.path();
    let config = path.load()?;
    print_warnings(&config.warnings, arguments.quiet);
    let start = Start {
        invocation: Invocation::of_process(),
        readiness: match arguments.detached {
            true => StartReport::detached()?,
            false => StartReport::foreground(),
        },
        predecessor: Some(predecessor),
    };
    run::run(path, start, || Ok(config)).map(|()| ExitCode::SUCCESS)
}

/// Serves as the daemon. The process that started it has printed the warnings.
fn serve_detached(arguments: &Arguments) -> Result<ExitCode, StartError> {
    let path = arguments.path();
    let start = Start {
        invocation: Invocation::of_process(),
        readiness: StartReport::detached()?,
        predecessor: None,
    };
    let served = run::run(path.clone(), start, || path.load());
    served.map(|()| ExitCode::SUCCESS)
}

/// Runs the helper of a server. That of a daemon holds no stream of the process that started the daemon.
fn help(arguments: &Arguments, owner: u32) -> Result<ExitCode, StartError> {
    if arguments.detached {
        daemon::close_streams(false).map_err(StartError::Helper)?;
    }
    let binary = arguments.binary.clone().unwrap_or_default();
    let invocation = Invocation::in_helper(binary);
    helper::server::serve(arguments.path(), owner, invocation).map(|()| ExitCode::SUCCESS)
}

impl Arguments {
    fn path(&self) -> ConfPath {
        let (conf, prefix) = match (&self.conf, &self.prefix) {
            (Some(conf), None) if conf == Path::new(SYSTEM_CONF) => {
                (conf.clone(), conf.parent().map(Path::to_owned))
            }
            (Some(conf), prefix) => (conf.clone(), prefix.clone()),
            (None, Some(prefix)) => (DEFAULT_CONF.into(), Some(prefix.clone())),
            (None, None) => default_conf(Path::new(DEFAULT_CONF), Path::new(SYSTEM_CONF)),
        };
        let is_system = self.prefix.is_none() && conf == Path::new(SYSTEM_CONF);
        let prefix = prefix.unwrap_or_default();
        ConfPath {
            conf,
            // Empty for the current directory, so that file names do not begin with `./`.
            prefix: prefix.strip_prefix(".").unwrap_or(&prefix).to_owned(),
            overrides: Overrides {
                directives: self.directives.clone(),
                error_log: self.error_log.clone(),
                default_pid: is_system.then(|| SYSTEM_PID.into()),
                default_daemon: is_nginx(&std::env::args_os().collect::<Vec<_>>()),
            },
        }
    }

    /// Whether an option is set that makes no sense with a subcommand.
    const fn has_option_of_server(&self) -> bool {
        let writes = self.test || self.dump || self.signal.is_some();
        let prints = self.version || self.build || self.quiet;
        let serves = self.demo || self.detached || self.helper.is_some();
        let overrides = self.error_log.is_some() || !self.directives.is_empty();
        writes || prints || serves || overrides
    }

    /// Whether a command line with these options starts a server that others may start, too.
    const fn serves_configuration(&self) -> bool {
        let writes = self.test || self.dump || self.signal.is_some();
        let prints = self.version || self.build;
        let is_inner = self.detached || self.upgrade || self.helper.is_some();
        !(writes || prints || is_inner || self.demo || self.command.is_some())
    }

    /// Opens the log of `-e`, whatever the configuration says, as nginx does. A log that cannot be opened is no error here.
    fn open_error_log(&self) {
        let Some(name) = self.error_log.as_deref().filter(|name| *name != "stderr") else {
            return;
        };
        let path = self.path().prefix.join(name);
        if let Err(error) = open_log::open(&path) {
            let path = path.display();
            print_line(&format!(
                "[alert] could not open error log file: open() \"{path}\" failed ({})",
                Os(&error)
            ));
        }
    }
}

/// Whether the program of this command line is called `nginx`, by a link in the place of nginx.
fn is_nginx(line: &[OsString]) -> bool {
    let program = line.first().map(Path::new);
    program.and_then(Path::file_name) == Some(OsStr::new(NGINX))
}

/// The configuration and the prefix without `-c` and `-p`: those of `system` if there is no `local`.
fn default_conf(local: &Path, system: &Path) -> (PathBuf, Option<PathBuf>) {
    if system.exists() && !local.exists() {
        (system.to_owned(), system.parent().map(Path::to_owned))
    } else {
        (local.to_owned(), None)
    }
}

/// Whether there is a configuration for a command line without arguments.
fn has_default_conf() -> bool {
    [DEFAULT_CONF, SYSTEM_CONF]
        .iter()
        .any(|conf| Path::new(conf).exists())
}

/// Sends a signal to the process that serves already.
fn signal(arguments: &Arguments, command: SignalCommand) -> Result<ExitCode, StartError> {
    let config = arguments.path().load()?;
    print_warnings(&config.warnings, arguments.quiet);
    command.send(&config.pid.path)?;
    Ok(ExitCode::SUCCESS)
}

/// Tests the configuration and prints the result.
fn test(arguments: &Arguments) -> Result<(), StartError> {
    let path = arguments.path();
    let say = |result: &str| {
        if !arguments.quiet {
            print_line(&result.replace("FILE", &path.file().display().to_string()));
        }
    };
    let ReadAll {
        files,
        warnings,
        config,
    } = path.read_all(arguments.dump);
    print_warnings(&warnings, arguments.quiet);
    let config = config.map_err(all_but_last)?;
    print_warnings(&config.warnings, arguments.quiet);
    say("the configuration file FILE syntax is ok");
    let tested = test_config::test(&config);
    if !arguments.quiet {
        // Not computed for nothing: name servers that do not answer take seconds.
        let warnings = start_warnings::of(&config, &tested.claimed);
        print_warnings(&warnings, arguments.quiet);
    }
    if !tested.errors.is_empty() {
        return Err(all_but_last(tested.errors));
    }
    say("configuration file FILE test is successful");
    dump(&files);
    Ok(())
}

/// Prints all errors but the last, which the end of the process prints. There is at least one.
fn all_but_last(mut errors: Vec<StartError>) -> StartError {
    let last = errors.swap_remove(errors.len() - 1);
    errors.iter().for_each(print_finding);
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &[&str]) -> (PathBuf, PathBuf, Option<PathBuf>) {
        let line = [&["nginx_like"], line].concat();
        let path = Arguments::try_parse_from(line).unwrap().path();
        (path.conf, path.prefix, path.overrides.default_pid)
    }

    #[test]
    fn the_configuration_of_the_system_has_its_prefix_and_pid_file_unless_p_names_another() {
        let system = PathBuf::from(SYSTEM_CONF);
        let pid = Some(PathBuf::from(SYSTEM_PID));
        let found = path(&["-c", SYSTEM_CONF]);
        assert_eq!(found, (system.clone(), "/etc/nginx".into(), pid));
        let found = path(&["-c", SYSTEM_CONF, "-p", "/srv"]);
        assert_eq!(found, (system, "/srv".into(), None));
        let found = path(&["-c", "/srv/nginx.conf"]);
        assert_eq!(found, ("/srv/nginx.conf".into(), "".into(), None));
    }

    #[test]
    fn the_name_of_the_program_decides_whether_it_stands_for_nginx() {
        for (program, expected) in [
            ("nginx", true),
            ("/usr/sbin/nginx", true),
            ("./nginx", true),
            ("nginx_like", false),
            ("/usr/sbin/nginx_like", false),
            ("nginx: master", false),
            ("", false),
        ] {
            assert_eq!(is_nginx(&[program.into()]), expected, "{program}");
        }
        assert!(!is_nginx(&[]));
    }

    #[test]
    fn the_configuration_of_the_system_counts_if_there_is_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let [local, system] = ["local.conf", "system.conf"].map(|name| dir.path().join(name));
        assert_eq!(default_conf(&local, &system), (local.clone(), None));
        std::fs::write(&system, "").unwrap();
        let prefix = Some(dir.path().to_owned());
        assert_eq!(default_conf(&local, &system), (system.clone(), prefix));
        std::fs::write(&local, "").unwrap();
        assert_eq!(default_conf(&local, &system), (local.clone(), None));
    }
}
