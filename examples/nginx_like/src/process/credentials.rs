//! `user`: the user that the process becomes, and its rights.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User as SystemUser};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    self, CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
};

use crate::config::main::User;
use crate::console::print_line;
use crate::process::error::StartError;

/// The user and group that the process switches to before it listens.
#[derive(Debug)]
pub(crate) struct Credentials {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Credentials {
    /// Looks up the `user` of the configuration. `None` without one, or if the process does not run as the superuser.
    pub(crate) fn look_up(user: Option<&User>) -> Result<Option<Self>, StartError> {
        let Some(user) = user else { return Ok(None) };
        if !Uid::effective().is_root() {
            print_line(&format!(
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

    /// The user, unless it is the superuser too.
    pub(crate) fn unprivileged_user(&self) -> Option<Uid> {
        (!self.uid.is_root()).then_some(self.uid)
    }

    /// Switches the process to that user, for good.
    ///
    /// Of the superuser's capabilities the calling thread, and the threads that it starts later, keep
    /// `CAP_NET_BIND_SERVICE`, for ports below 1024, and with `needs_transparency` `CAP_NET_RAW`, for source addresses of other
    /// machines. Threads that run already keep none.
    pub(crate) fn switch_to(&self, needs_transparency: bool) -> Result<(), StartError> {
        let (user, gid, uid) = (&self.name, self.gid, self.uid);
        let loses_rights = self.unprivileged_user().is_some();
        let failed = |call| move |errno: rustix::io::Errno| system(call, errno.into());
        if loses_rights {
            set_keep_capabilities(true).map_err(failed("prctl(PR_SET_KEEPCAPS)"))?;
        }
        let name = CString::new(user.as_str()).unwrap_or_default();
        nix::unistd::initgroups(&name, gid)
            .map_err(|errno| system(format!("initgroups({user}, {gid})"), errno.into()))?;
        nix::unistd::setgid(gid).map_err(|errno| system(format!("setgid({gid})"), errno.into()))?;
        nix::unistd::setuid(uid).map_err(|errno| system(format!("setuid({uid})"), errno.into()))?;
        if loses_rights {
            let had = capabilities(None).map_err(failed("capget()"))?.permitted;
            let mut kept = had & CapabilitySet::NET_BIND_SERVICE;
            if needs_transparency {
                kept |= had & CapabilitySet::NET_RAW;
            }
            let sets = CapabilitySets {
                effective: kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, sets).map_err(failed("capset()"))?;
            set_keep_capabilities(false).map_err(failed("prctl(PR_SET_KEEPCAPS)"))?;
            // The kernel hides /proc/self/fd, which is read to count descriptors, from a process that changed its user.
            set_dumpable_behavior(DumpableBehavior::Dumpable)
                .map_err(failed("prctl(PR_SET_DUMPABLE)"))?;
        }
        Ok(())
    }

    /// What `work` returns as the user that the process will be, for warnings: `None` if that user is unknown or cannot be
    /// taken, which are errors of their own.
    pub(super) fn try_as<T: Send>(
        user: Option<&User>,
        work: impl FnOnce() -> T + Send,
    ) -> Option<T> {
        match Self::look_up(user).ok()? {
            Some(user) => user.run_as(work).ok(),
            None => Some(work()),
        }
    }

    /// Runs `work` on a thread that has the rights of that user, and no other rights.
    ///
    /// # Errors
    ///
    /// The thread cannot be started, or cannot switch to that user.
    pub(crate) fn run_as<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, StartError> {
        let become_user = || {
            let name = CString::new(self.name.as_str()).unwrap_or_default();
            let groups = nix::unistd::getgrouplist(&name, self.gid).map_err(io::Error::from)?;
            let groups: Vec<_> = groups
                .iter()
                .map(|g| thread::Gid::from_raw(g.as_raw()))
                .collect();
            let gid = thread::Gid::from_raw(self.gid.as_raw());
            let uid = thread::Uid::from_raw(self.uid.as_raw());
            // Unlike the functions of the C library these calls change one thread.
            thread::set_thread_groups(&groups)?;
            thread::set_thread_res_gid(gid, gid, gid)?;
            thread::set_thread_res_uid(uid, uid, uid)?;
            Ok(())
        };
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("user".to_owned());
            let started = builder.spawn_scoped(scope, || {
                let become_user: io::Result<()> = become_user();
                become_user.map(|()| work())
            });
            let done = started.map_err(StartError::Thread)?.join();
            let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done.map_err(|source| system(format!("setresuid({})", self.uid), source))
        })
    }

    /// Adds to `error` that this user lacks rights.
    pub(crate) fn lacks_rights(&self, error: StartError) -> StartError {
        StartError::AsUser {
            source: Box::new(error),
            user: self.name.clone(),
        }
    }
}

fn system(call: impl Into<String>, source: io::Error) -> StartError {
    StartError::System {
        call: call.into(),
        source,
    }
}
