//! Output of the command line.

use std::io::{self, Write};

use crate::config::pid::DEFAULT as DEFAULT_PID;
use crate::console::print_line;
use crate::process::error::StartError;
use crate::process::files::conf_path::DEFAULT_CONF;
use crate::syntax::include::KeptFile;
use crate::syntax::span::Warning;
use crate::version::version;

pub(super) fn print_warnings(warnings: &[Warning], quiet: bool) {
    if !quiet {
        for warning in warnings {
            print_line(&format!("[warn] {warning}"));
        }
    }
}

pub(super) fn print_error(error: &StartError) {
    print_line(&format!("[{}] {error}", error.level()));
}

/// Prints an error that a test has found, and what to do about it.
pub(super) fn print_finding(error: &StartError) {
    print_error(error);
    if let Some(hint) = error.hint() {
        print_line(&format!("[notice] {hint}"));
    }
}

/// Prints files in nginx's form.
pub(super) fn dump(files: &[KeptFile]) {
    let mut output = io::stdout().lock();
    for file in files {
        // A closed output leaves no place to report that to.
        let _ = writeln!(output, "# configuration file {}:", file.path.display());
        let _ = output.write_all(&file.bytes);
        let _ = writeln!(output);
    }
}

/// Prints the version where nginx prints it, on the standard error stream, and with `build` what was built in.
pub(super) fn print_version(build: bool) {
    let mut text = format!("nginx_like version: nginx_like/{}\n", version());
    if build {
        let kubernetes = if cfg!(feature = "kubernetes") {
            " --with-kubernetes"
        } else {
            ""
        };
        text += &format!(
            "built with lb-proxy {}\nconfigure arguments: --prefix=. --conf-path={DEFAULT_CONF} --pid-path={DEFAULT_PID} --error-log-path=stderr \
             --without-http --with-stream --with-stream_realip_module --with-stream_ssl_preread_module{kubernetes}\n",
            env!("CARGO_PKG_VERSION")
        );
    }
    let _ = io::stderr().write_all(text.as_bytes());
}
