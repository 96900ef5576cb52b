//! The settings of a supervision.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lb_proxy::readiness_report::ReadyFileSettings;

use crate::config::main::Config;
use crate::process::files::conf_path::ConfPath;
use crate::syntax::error::ConfigError;

/// What to supervise.
#[derive(Clone, Debug)]
pub(crate) struct SupervisionPlan {
    /// The program of the server. The file that has this name when the server is started again is executed.
    pub(crate) program: PathBuf,
    /// The arguments of the server.
    pub(crate) arguments: Vec<OsString>,
    /// The configuration that these arguments name.
    pub(crate) path: ConfPath,
    pub(crate) ready_file: ReadyFileOptions,
    /// The delay of the first start after a failure. Each further delay is twice as long.
    pub(crate) restart_delay: Duration,
    /// The longest delay.
    pub(crate) longest_delay: Duration,
}

/// What the command line says of the readiness file, in place of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadyFileOptions {
    pub(crate) path: Option<PathBuf>,
    pub(crate) not_ready: Option<i32>,
    pub(crate) heartbeat: Option<Duration>,
}

/// Where the server says that it is ready, and which process it is.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceFiles {
    pub(super) ready_file: Option<ReadyFileSettings>,
    pub(super) pid: Option<PathBuf>,
}

impl SupervisionPlan {
    /// The files, as the configuration names them now. Its other mistakes are the server's to report.
    pub(super) fn files(&self) -> Result<ServiceFiles, ConfigError> {
        let path = &self.path;
        let found = Config::find_process_files(&path.conf, &path.prefix, &path.overrides)?;
        Ok(ServiceFiles {
            ready_file: self.ready_file.apply(found.ready_file),
            pid: Some(found.pid),
        })
    }

    /// The files without a configuration.
    pub(super) fn files_of_options(&self) -> ServiceFiles {
        ServiceFiles {
            ready_file: self.ready_file.apply(None),
            pid: None,
        }
    }
}

impl ReadyFileOptions {
    /// The readiness file of the configuration, with what the options say.
    fn apply(&self, configured: Option<ReadyFileSettings>) -> Option<ReadyFileSettings> {
        let base = configured.or_else(|| self.path.clone().map(ReadyFileSettings::new))?;
        let (not_ready, heartbeat) = (base.not_ready, base.heartbeat);
        let mut settings = base
            .not_ready(self.not_ready.unwrap_or(not_ready))
            .heartbeat(self.heartbeat.unwrap_or(heartbeat));
        if let Some(path) = &self.path {
            settings.path.clone_from(path);
        }
        Some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_replace_what_the_configuration_says_one_by_one() {
        let configured = ReadyFileSettings::new("/run/a".into()).not_ready(-60);
        let options = ReadyFileOptions::default();
        assert_eq!(options.apply(None), None);
        assert_eq!(
            options.apply(Some(configured.clone())),
            Some(configured.clone())
        );
        let options = ReadyFileOptions {
            path: Some("/run/b".into()),
            heartbeat: Some(Duration::from_millis(50)),
            ..ReadyFileOptions::default()
        };
        let applied = options.apply(Some(configured)).unwrap();
        assert_eq!(applied.path, PathBuf::from("/run/b"));
        assert_eq!(
            (applied.not_ready, applied.heartbeat),
            (-60, Duration::from_millis(50))
        );
        let applied = options.apply(None).unwrap();
        assert_eq!((applied.ready, applied.not_ready), (0, -254));
    }
}
