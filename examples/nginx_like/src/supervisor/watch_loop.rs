//! The loop that starts, watches, signals and restarts the server.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::select;
use tokio::time::{Instant, sleep_until};

use super::plan::{ServiceFiles, SupervisionPlan};
use super::ready_mark::ReadyMark;
use super::restart_delay::RestartDelay;
use super::service_processes::ServiceProcesses;
use super::supervised_signals::{Arrived, SupervisedSignals};
use crate::console::print_line;

/// How often the pid file is read, and signals that wait are sent, where no heartbeat is watched.
const PERIOD: Duration = Duration::from_millis(250);

/// How long the process of the old binary has to take the service back after the new one has ended.
const TAKE_BACK: Duration = Duration::from_secs(1);

/// Supervises until the server has ended as asked. Returns its exit code.
pub(super) async fn run(plan: SupervisionPlan) -> io::Result<ExitCode> {
    let mut signals = SupervisedSignals::listen()?;
    let mut supervisor = Supervisor::new(plan);
    supervisor.start();
    loop {
        if let Some(code) = supervisor.exit_code() {
            return Ok(code);
        }
        let timer = supervisor.timer();
        select! {
            biased;
            pid = supervisor.processes.ended() => supervisor.end_of(pid),
            arrived = signals.next() => match arrived {
                Arrived::Child => supervisor.processes.reap(),
                Arrived::Forward(signal) => supervisor.forward(signal),
            },
            () = sleep_until(timer) => supervisor.tick(),
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The main process serves.
    Serving,
    /// The main process has ended, with this status, and another one is left, which may take the service back until then.
    TakingBack {
        until: Instant,
        status: Option<ExitStatus>,
    },
    /// The server is started again then, unless a process takes the service before.
    Waiting { until: Instant },
    /// The server got this signal to end, or has ended by itself without an error.
    Ending { signal: Option<Signal> },
}

#[derive(Debug)]
struct Supervisor {
    plan: SupervisionPlan,
    files: ServiceFiles,
    mark: Option<ReadyMark>,
    processes: ServiceProcesses,
    delay: RestartDelay,
    started: Instant,
    next_look: Instant,
    stage: Stage,
    /// The status of the main process that ended last since the last start.
    last: Option<ExitStatus>,
}

impl Supervisor {
    fn new(plan: SupervisionPlan) -> Self {
        Self {
            files: plan.files_of_options(),
            mark: None,
            processes: ServiceProcesses::default(),
            delay: RestartDelay::new(plan.restart_delay, plan.longest_delay),
            started: Instant::now(),
            next_look: Instant::now(),
            stage: Stage::Serving,
            last: None,
            plan,
        }
    }

    /// Starts the server. The files are those that the configuration names now.
    fn start(&mut self) {
        match self.plan.files() {
            Ok(files) => self.files = files,
            // The server says so, and ends. Until then the files are those of before.
            Err(error) => print_line(&format!("[warn] supervise: {error}")),
        }
        let before = self.mark.as_ref().map(ReadyMark::config);
        if before != self.files.ready_file.as_ref() {
            self.mark = self.files.ready_file.clone().map(ReadyMark::new);
        }
        if let Some(mark) = &mut self.mark {
            mark.begin();
            mark.renew();
        }
        self.started = Instant::now();
        self.stage = Stage::Serving;
        if let Err(error) = self.spawn() {
            let program = self.plan.program.display();
            print_line(&format!(
                "[alert] supervise: starting \"{program}\" failed ({error})"
            ));
            self.restart();
        }
    }

    fn spawn(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.plan.program);
        // The child is reaped with all others, by its id.
        let child = command.args(&self.plan.arguments).spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::InvalidData)?;
        print_line(&format!("[notice] supervise: server {pid} started"));
        self.last = None;
        self.processes.add(pid)
    }

    /// The next time to look at files, or to start the server.
    fn timer(&self) -> Instant {
        match self.stage {
            Stage::Waiting { until } if self.processes.is_empty() => until,
            Stage::Waiting { until } => until.min(self.next_look),
            Stage::Serving | Stage::TakingBack { .. } | Stage::Ending { .. } => self.next_look,
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let period = self.mark.as_ref().map(|mark| mark.heartbeat().period());
        self.next_look = now + period.unwrap_or(PERIOD);
        self.processes.send_held();
        // The old binary's process may take the service back late.
        if matches!(self.stage, Stage::Waiting { .. }) && self.follow() {
            self.stage = Stage::Serving;
        }
        match self.stage {
            Stage::Waiting { until } if now >= until => return self.start(),
            Stage::Waiting { .. } => return,
            Stage::TakingBack { until, status } => {
                if self.follow() {
                    self.stage = Stage::Serving;
                } else if now >= until {
                    self.end_or_restart(status);
                }
            }
            Stage::Serving => {
                self.follow();
            }
            Stage::Ending { .. } => {}
        }
        if let Some(mark) = &mut self.mark {
            mark.look();
        }
    }

    /// A process of the service has ended.
    fn end_of(&mut self, pid: Pid) {
        let was_main = self.processes.main() == Some(pid);
        let status = self.processes.remove(pid);
        // The process of a new binary, or a daemon, goes on.
        let is_followed = self.follow();
        // One that has not written the pid file yet gets the service.
        let is_adopted = self.processes.is_empty() && self.adopt();
        let is_lost = is_adopted || self.processes.is_empty();
        if is_lost && !status.is_some_and(|status| status.success()) {
            self.mark_not_ready();
        }
        let is_followed = is_followed || is_adopted;
        if was_main || self.last.is_none() {
            self.last = status.or(self.last);
        }
        let what = status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string());
        print_line(&format!("[notice] supervise: server {pid} ended ({what})"));
        match self.stage {
            Stage::Ending {
                signal: Some(signal),
            } if is_followed => self.processes.end(signal, false),
            Stage::Ending { .. } => {}
            _ if is_followed => self.stage = Stage::Serving,
            // One that drained has ended, while the service waits for its next start.
            Stage::Waiting { .. } => {}
            // How the main process ended counts, not that another one, such as an old one that drained, ended well after it.
            Stage::TakingBack { status: main, .. } if self.processes.is_empty() => {
                self.end_or_restart(main);
            }
            _ if self.processes.is_empty() => self.end_or_restart(status),
            _ if was_main => {
                self.stage = Stage::TakingBack {
                    until: Instant::now() + TAKE_BACK,
                    status,
                };
            }
            _ => {}
        }
    }

    /// No process serves any more.
    fn end_or_restart(&mut self, status: Option<ExitStatus>) {
        if status.is_some_and(|status| status.success()) {
            self.stage = Stage::Ending { signal: None };
        } else {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.mark_not_ready();
        let now = Instant::now();
        let delay = self.delay.after(now - self.started);
        let ms = delay.as_millis();
        print_line(&format!(
            "[notice] supervise: the server is started again in {ms} ms"
        ));
        self.stage = Stage::Waiting { until: now + delay };
    }

    fn forward(&mut self, signal: Signal) {
        self.follow();
        let ends = matches!(signal, Signal::INT | Signal::QUIT | Signal::TERM);
        if ends {
            self.processes.add_starting();
            self.processes.end(signal, true);
        } else {
            // Logs are those of all processes.
            self.processes.signal(signal, signal == Signal::USR1);
        }
        match &mut self.stage {
            stage if ends => {
                *stage = Stage::Ending {
                    signal: Some(signal),
                };
            }
            // What made it fail may have been mended.
            Stage::Waiting { until } if signal == Signal::HUP => *until = Instant::now(),
            _ => {}
        }
    }

    /// Makes the process of the pid file the main one. Returns whether it is another one than before.
    fn follow(&mut self) -> bool {
        let is_new = match &self.files.pid {
            Some(pid) => self.processes.follow(pid),
            None => false,
        };
        if is_new && let Some(main) = self.processes.main() {
            print_line(&format!(
                "[notice] supervise: server {main} is the main process now"
            ));
        }
        is_new
    }

    /// Makes the process of a new binary, or of `daemon on`, that has not written the pid file yet the main one. Returns whether there is
    /// one.
    fn adopt(&mut self) -> bool {
        let adopted = self.processes.add_starting();
        if let Some(main) = adopted {
            self.processes.set_main(main);
            print_line(&format!(
                "[notice] supervise: server {main}, which starts, is the main process now"
            ));
        }
        adopted.is_some()
    }

    fn mark_not_ready(&mut self) {
        if let Some(mark) = &mut self.mark {
            mark.write();
        }
    }

    /// The exit code, once no process is left of a service that was to end.
    fn exit_code(&self) -> Option<ExitCode> {
        let is_over = matches!(self.stage, Stage::Ending { .. }) && self.processes.is_empty();
        is_over.then(|| self.last.map_or(ExitCode::SUCCESS, code_of))
    }
}

/// The exit code as a shell would have it.
fn code_of(status: ExitStatus) -> ExitCode {
    const SIGNALED: i32 = 128;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNALED + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
