//! What the process is to the system: its user and its limits.

use nix::unistd::{Gid, Group, Uid, User as SystemUser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::cli::say;
use crate::config::User;
use crate::error::StartError;

/// Who the process becomes once its sockets and files are open.
#[derive(Debug)]
pub(crate) struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Looks up the `user` of the configuration. `None` if there is nothing to give up: no `user`, or the process is
    /// not the superuser's.
    pub(crate) fn of(user: Option<&User>) -> Result<Option<Self>, StartError> {
        let Some(user) = user else { return Ok(None) };
        if !Uid::effective().is_root() {
            say(&format!(
                "[warn] the \"user\" directive makes sense only if the process runs with super-user privileges, \
                 ignored in {}",
                user.span
            ));
            return Ok(None);
        }
        let unknown = |call, name: &str| StartError::UnknownUser {
            call,
            name: name.to_owned(),
            span: user.span.clone(),
        };
        let found = SystemUser::from_name(&user.name);
        let found = found.ok().flatten();
        let found = found.ok_or_else(|| unknown("getpwnam", &user.name))?;
        let group = user.group.as_deref().unwrap_or(&user.name);
        let found_group = Group::from_name(group).ok().flatten();
        let gid = found_group.ok_or_else(|| unknown("getgrnam", group))?.gid;
        Ok(Some(Self {
            name: user.name.clone(),
            uid: found.uid,
            gid,
        }))
    }

    /// Becomes that user, for good.
    pub(crate) fn assume(&self) -> Result<(), StartError> {
        let failed = |call: String| {
            move |errno: nix::errno::Errno| StartError::System {
                call,
                source: errno.into(),
            }
        };
        let name = std::ffi::CString::new(self.name.as_str());
        if let Ok(name) = name {
            nix::unistd::initgroups(&name, self.gid)
                .map_err(failed(format!("initgroups({}, {})", self.name, self.gid)))?;
        }
        nix::unistd::setgid(self.gid).map_err(failed(format!("setgid({})", self.gid)))?;
        nix::unistd::setuid(self.uid).map_err(failed(format!("setuid({})", self.uid)))
    }
}

/// Sets the limit of open files to `wanted`, or else as high as the process may.
pub(crate) fn limit_files(wanted: Option<u64>) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = wanted.map_or(
        Rlimit {
            current: hard,
            maximum: hard,
        },
        |wanted| Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        },
    );
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(?wanted, %error, "The limit of open files stays as it is");
    }
}
