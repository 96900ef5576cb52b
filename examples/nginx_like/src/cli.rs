//! The command line, as nginx's.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use crate::config::overrides::Overrides;
use crate::console::print_line;
use crate::demo;
use crate::process::error::StartError;
use crate::process::files::conf_path::ConfPath;
use crate::process::helper;
use crate::process::run;
use crate::process::send_signal::SignalCommand;
use crate::process::start_warnings;
use crate::process::test_config;
use crate::syntax::include::KeptFile;
use crate::syntax::span::Warning;

/// Where nginx keeps its configuration, below the prefix.
const DEFAULT_CONF: &str = "conf/nginx.conf";

/// Where distributions and the official image of nginx keep it.
const SYSTEM_CONF: &str = "/etc/nginx/nginx.conf";

/// Balances TCP connections as an nginx `stream` configuration says.
///
/// Without arguments it demonstrates itself: three echo servers behind 127.0.0.1:4460. SIGTERM and SIGINT stop at
/// once; SIGQUIT stops accepting and waits for the open connections; SIGHUP reads the configuration again; SIGUSR1 reopens
/// the logs. `-s` sends them.
#[derive(Debug, Parser)]
#[command(
    name = "nginx_like",
    disable_version_flag = true,
    disable_help_flag = true,
    args_override_self = true
)]
struct Arguments {
    /// The configuration file, below the prefix unless absolute [default: conf/nginx.conf; without -p and that file,
    /// /etc/nginx/nginx.conf]
    #[arg(short, value_name = "FILE")]
    conf: Option<PathBuf>,

    /// The directory that relative names start from
    #[arg(short, value_name = "DIR")]
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

    /// The log of a configuration without `error_log`: a file or stderr
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

    /// Runs the helper of a server that gave up root; for nginx_like itself
    #[arg(long, value_name = "UID", hide = true)]
    helper: Option<u32>,

    /// Prints the version and exits
    #[arg(short)]
    version: bool,

    /// Prints the version and what was built in, and exits
    #[arg(short = 'V')]
    build: bool,

    /// Prints this help and exits
    #[arg(short, long, visible_short_alias = '?', action = ArgAction::Help)]
    help: Option<bool>,
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
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let tests = arguments.test || arguments.dump;
    if arguments.version || arguments.build {
        print_version(arguments.build);
        if !tests {
            return ExitCode::SUCCESS;
        }
    }
    let done = if let Some(owner) = arguments.helper {
        helper::server::serve(arguments.path(), owner)
    } else if tests {
        test(&arguments)
    } else if let Some(command) = arguments.signal {
        signal(&arguments, command)
    } else if line.len() < 2 {
        demo::run()
    } else {
        let path = arguments.path();
        run::run(path.clone(), || {
            let config = path.load()?;
            print_warnings(&config.warnings, arguments.quiet);
            Ok(config)
        })
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            if tests {
                print_line(&format!(
                    "configuration file {} test failed",
                    arguments.path().file().display()
                ));
            }
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn path(&self) -> ConfPath {
        let (conf, prefix) = match (&self.conf, &self.prefix) {
            (Some(conf), prefix) => (conf.clone(), prefix.clone()),
            (None, Some(prefix)) => (DEFAULT_CONF.into(), Some(prefix.clone())),
            (None, None) => default_conf(Path::new(DEFAULT_CONF), Path::new(SYSTEM_CONF)),
        };
        let prefix = prefix.unwrap_or_default();
        ConfPath {
            conf,
            // Empty for the current directory, so that file names do not begin with `./`.
            prefix: prefix.strip_prefix(".").unwrap_or(&prefix).to_owned(),
            overrides: Overrides {
                directives: self.directives.clone(),
                error_log: self.error_log.clone(),
            },
        }
    }
}

/// The configuration and the prefix without `-c` and `-p`: those of `system` if there is no `local`.
fn default_conf(local: &Path, system: &Path) -> (PathBuf, Option<PathBuf>) {
    if system.exists() && !local.exists() {
        (system.to_owned(), system.parent().map(Path::to_owned))
    } else {
        (local.to_owned(), None)
    }
}

/// Sends a signal to the process that serves already.
fn signal(arguments: &Arguments, command: SignalCommand) -> Result<(), StartError> {
    let config = arguments.path().load()?;
    print_warnings(&config.warnings, arguments.quiet);
    Ok(command.send(config.pid.as_deref())?)
}

fn print_warnings(warnings: &[Warning], quiet: bool) {
    if !quiet {
        for warning in warnings {
            print_line(&format!("[warn] {warning}"));
        }
    }
}

/// Tests the configuration and prints the result.
fn test(arguments: &Arguments) -> Result<(), StartError> {
    let path = arguments.path();
    let say = |result: &str| {
        if !arguments.quiet {
            print_line(&result.replace("FILE", &path.file().display().to_string()));
        }
    };
    let (files, config) = path.load_all(arguments.dump);
    let config = config.or_else(all_but_last)?;
    print_warnings(&config.warnings, arguments.quiet);
    say("the configuration file FILE syntax is ok");
    test_config::test(&config).or_else(all_but_last)?;
    if !arguments.quiet {
        // Not computed for nothing: name servers that do not answer take seconds.
        print_warnings(&start_warnings::of(&config), arguments.quiet);
    }
    say("configuration file FILE test is successful");
    dump(&files);
    Ok(())
}

/// Prints all errors but the last, which the end of the process prints. There is at least one.
fn all_but_last<T>(mut errors: Vec<StartError>) -> Result<T, StartError> {
    let last = errors.swap_remove(errors.len() - 1);
    for error in &errors {
        print_error(error);
    }
    Err(last)
}

fn print_error(error: &StartError) {
    print_line(&format!("[{}] {error}", error.level()));
}

/// Prints files in nginx's form.
fn dump(files: &[KeptFile]) {
    let mut output = io::stdout().lock();
    for file in files {
        // A closed output leaves no place to report that to.
        let _ = writeln!(output, "# configuration file {}:", file.path.display());
        let _ = output.write_all(&file.bytes);
        let _ = writeln!(output);
    }
}

/// Prints the version where nginx prints it, on the standard error stream, and with `build` what was built in.
fn print_version(build: bool) {
    let mut text = concat!(
        "nginx_like version: nginx_like/",
        env!("CARGO_PKG_VERSION"),
        "\n"
    )
    .to_owned();
    if build {
        let kubernetes = if cfg!(feature = "kubernetes") {
            " --with-kubernetes"
        } else {
            ""
        };
        text += &format!(
            "built with lb-proxy {}\nconfigure arguments: --prefix=. --conf-path={DEFAULT_CONF} --error-log-path=stderr \
             --without-http --with-stream --with-stream_realip_module --with-stream_ssl_preread_module{kubernetes}\n",
            env!("CARGO_PKG_VERSION")
        );
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

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
