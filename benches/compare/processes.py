"""Processes of the comparison: starting and ending them, their processor time and their memory."""

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1


def descriptor_limit():
    """The open files that a process may have: the hard limit, which only a privileged process can raise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 17, max(hard, 1 << 17)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def build_load():
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "benches", "--bin", "lb_load"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return str(pathlib.Path(target) / "release/lb_load")


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp(prefix="lb-compare-")
    # nginx's worker may have another user.
    os.chmod(path, 0o755)
    try:
        yield pathlib.Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def start(command, cpus, **options):
    """Starts a process on these CPUs, which ends if this one does."""

    def prepare():
        os.sched_setaffinity(0, cpus)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen([str(word) for word in command], preexec_fn=prepare, **options)


@contextlib.contextmanager
def running(command, cpus, **options):
    """A process that is ended, with its children, at the end of the block."""
    process = start(command, cpus, **options)
    try:
        yield process
    finally:
        children = tree(process.pid)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def reporting(command, cpus, timeout):
    """A process that prints a line of JSON and goes on until its standard input ends. Yields what it printed."""
    with running(command, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        alarm = time.monotonic() + timeout
        os.set_blocking(process.stdout.fileno(), False)
        line = ""
        while not line.endswith("\n") and time.monotonic() < alarm and process.poll() is None:
            line += process.stdout.readline()
            time.sleep(0.005)
        yield json.loads(line or "{}")
        process.stdin.close()


def output(command, cpus, timeout):
    """The line of JSON of a process that ends by itself. Empty if it fails."""
    with running(command, cpus, stdout=subprocess.PIPE, text=True) as process:
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return {}
        return json.loads(text) if text.strip() else {}


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def processor_time(pid):
    """Seconds in all, and of them in user space, of a process and its descendants."""
    total = user = system = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            # The clock of the process, as clock_getcpuclockid(3) computes it. The ticks below only divide it.
            total += time.clock_gettime((~one << 3) | 2)
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11]) / TICKS
            system += int(fields[12]) / TICKS
    return total, user, system


def thread_times(pid):
    """Seconds of each thread of a process and its descendants."""
    times = {}
    for one in tree(pid):
        for path in pathlib.Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                times[path.parent.name] = int(path.read_text().split()[0]) / 1e9
    return times


@contextlib.contextmanager
def counted_calls(pid):
    """Counts the system calls of a process and its descendants during the block: yields what is filled at its end. Empty without
    strace(1)."""
    counts = {}
    if not shutil.which("strace"):
        print("# strace: not installed", flush=True)
        yield counts
        return
    with directory() as scratch:
        file = scratch / "counts"
        processes = [word for one in tree(pid) for word in ("-p", str(one))]
        with running(["strace", "-f", "-c", "-o", file, *processes], os.sched_getaffinity(0), stderr=subprocess.PIPE) as tracer:
            # It says so once it has attached.
            tracer.stderr.readline()
            yield counts
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=10)
        # Share, seconds, microseconds a call, calls, errors if there are some, name.
        for words in map(str.split, file.read_text().splitlines()):
            if len(words) >= 5 and words[3].isdigit():
                counts["all" if words[-1] == "total" else words[-1]] = int(words[3])


def memory(pid):
    """KiB of a process and its descendants: private memory, and their share of what they share."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total
