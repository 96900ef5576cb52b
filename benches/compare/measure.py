"""The tests: what runs beside the proxy, and which figures come of it."""

import contextlib
import dataclasses
import socket
import time

import processes
from proxies import SOURCES, Job
from processes import descriptor_limit, output, processor_time, reporting, running

TESTS = ("rate", "rr", "calls", "down", "up", "idle", "beside", "workers", "ports", "ports2")

# The load ends by itself; this is for one that hangs.
PATIENCE = 20

# Descriptors that a process needs beside connections.
RESERVE = 300


@dataclasses.dataclass
class Setup:
    load: str
    proxy_cpus: list
    load_cpus: list
    all_cpus: list
    seconds: float
    idle: int
    beside: int
    ports: list


@dataclasses.dataclass
class Case:
    """A test, of which some have several: `ports 14500` has `count` ports in use."""

    name: str
    mode: str = "echo"
    backends: int = 4
    sources: int = 0
    count: int = 0


def cases(test, setup):
    if test not in TESTS:
        raise SystemExit(f"no test {test}: {', '.join(TESTS)}")
    if test in ("ports", "ports2"):
        sources = 2 if test == "ports2" else 0
        return [Case(f"{test} {count}", "answer", 1, sources, count) for count in setup.ports]
    count = {"idle": setup.idle, "beside": setup.beside}.get(test, 0)
    return [Case(test, {"down": "source", "up": "sink"}.get(test, "echo"), count=count)]


@contextlib.contextmanager
def backends(case, setup):
    """Starts the backends of a case, and what holds ports. Yields their addresses."""
    addrs = [f"127.0.0.1:{port}" for port in free_ports(case.backends)]
    held = case.count * max(1, case.sources)
    with contextlib.ExitStack() as stack:
        room = descriptor_limit() - RESERVE
        # They share the connections by SO_REUSEPORT, not quite evenly.
        for _ in range(1 + int(held * 1.2) // room):
            command = [setup.load, "serve", "--addr", ",".join(addrs), "--mode", case.mode]
            stack.enter_context(reporting(command, setup.load_cpus, PATIENCE))
        if case.name.startswith("ports"):
            for source in SOURCES[: max(1, case.sources)]:
                hold_ports(stack, setup, addrs[0], source, case.count, room)
        yield addrs


def hold_ports(stack, setup, backend, source, count, room):
    opened = 0
    for skip in range(0, count, room):
        command = [setup.load, "hold", "--to", backend, "--from", source, "--skip", skip, "--count", min(room, count - skip)]
        opened += stack.enter_context(reporting(command, setup.load_cpus, PATIENCE)).get("open", 0)
    print(f"# {opened} of {count} ports from {source} to the backend are in use", flush=True)


def measure(case, setup, proxy, addrs):
    """Yields the figures of one proxy, once or more. A `test` in them replaces the name of the case."""
    if case.name == "workers":
        yield from workers(setup, proxy, addrs)
        return
    with started(case, setup, proxy, addrs, 1, setup.proxy_cpus) as (process, listen):
        if process is None:
            return
        if case.name == "calls":
            yield from calls(setup, process, listen)
        elif case.name == "idle":
            yield idle(case, setup, process, listen)
        elif case.name == "beside":
            yield beside(case, setup, process, listen)
        elif case.name in ("down", "up"):
            yield bulk(case.name, setup, process, listen)
        elif case.name == "rr":
            yield requests(["rr"], setup, process, listen)
        else:
            closes = ["--until-end"] if case.mode == "answer" else []
            yield requests(["rate", *closes], setup, process, listen)


def requests(words, setup, process, listen):
    before = processor_time(process.pid)
    result = output([setup.load, *words, "--to", listen, "--seconds", setup.seconds], setup.load_cpus, setup.seconds + PATIENCE)
    used = [after - earlier for after, earlier in zip(processor_time(process.pid), before)]
    count = result.get("total", 0)
    figures = {name: result.get(name) for name in ("per_s", "p50_us", "p99_us", "errors")}
    if count:
        figures |= dict(zip(("cpu_us", "user_us", "system_us"), split(used, 1e6 / count)))
        figures["per_core_s"] = round(1e6 / figures["cpu_us"])
        figures["busy"] = round(used[0] / setup.seconds, 3)
    return figures


def calls(setup, process, listen):
    """System calls of a connection and of a round trip, under load. strace(1) slows the proxy, so times would say nothing."""
    for test, words in (("calls rate", ["rate"]), ("calls rr", ["rr"])):
        with processes.counted_calls(process.pid) as counts:
            command = [setup.load, *words, "--to", listen, "--seconds", setup.seconds]
            result = output(command, setup.load_cpus, setup.seconds + PATIENCE)
        total = result.get("total", 0)
        if total:
            each = {name: round(count / total, 2) for name, count in counts.items() if count / total >= 0.005}
            yield {"test": test, **each}


def split(used, factor):
    """Total, user and system time. The kernel counts the latter two in ticks: they divide the exact total."""
    total, user, system = used
    ticks = user + system
    user = total * user / ticks if ticks else 0
    return [round(value * factor, 3) for value in (total, user, total - user)]


def bulk(name, setup, process, listen):
    before = processor_time(process.pid)
    command = [setup.load, name, "--clients", 8, "--to", listen, "--seconds", setup.seconds]
    result = output(command, setup.load_cpus, setup.seconds + PATIENCE)
    used = [after - earlier for after, earlier in zip(processor_time(process.pid), before)]
    figures = {"gb_s": result.get("gb_s"), "errors": result.get("errors")}
    if result.get("bytes"):
        factor = 1e9 / result["bytes"]
        figures |= dict(zip(("cpu_s_gb", "user_s_gb", "system_s_gb"), split(used, factor)))
    return figures


def sessions_possible(wanted):
    """A session takes two descriptors of the proxy, and a proxy keeps some back for pipes and files."""
    return min(wanted, int(descriptor_limit() * 0.37))


def held(setup, listen, count):
    command = [setup.load, "hold", "--to", listen, "--count", count]
    return reporting(command, setup.load_cpus, PATIENCE)


def idle(case, setup, process, listen):
    before = processes.memory(process.pid)
    with held(setup, listen, sessions_possible(case.count)) as result:
        time.sleep(0.5)
        after = processes.memory(process.pid)
        opened = result.get("open", 0)
    return {"open": opened, "kib_session": round((after - before) / max(1, opened), 3), "base_mib": round(before / 1024, 2)}


def beside(case, setup, process, listen):
    alone = requests(["rate"], setup, process, listen)
    with held(setup, listen, sessions_possible(case.count)) as result:
        time.sleep(0.5)
        beside = requests(["rate"], setup, process, listen)
        opened = result.get("open", 0)
    costs = [figures.get("cpu_us") for figures in (alone, beside)]
    ratio = round(costs[1] / costs[0], 3) if all(costs) else None
    errors = sum(figures["errors"] or 0 for figures in (alone, beside))
    return {"open": opened, "asked": case.count, "cpu_alone_us": costs[0], "cpu_beside_us": costs[1], "beside_ratio": ratio, "errors": errors}


def workers(setup, proxy, addrs):
    """One worker and two on the same CPUs. Load and backends are on these as well, so connections a second do not double even if the
    proxy scales: what two workers could do is computed from the CPU of a connection and from the busier one's share."""
    costs = {}
    for number in (1, 2):
        with started(Case("workers"), setup, proxy, addrs, number, setup.all_cpus[:2]) as (process, listen):
            if process is None:
                return
            wide = dataclasses.replace(setup, load_cpus=setup.all_cpus)
            before = processes.thread_times(process.pid)
            figures = requests(["rate"], wide, process, listen)
            after = processes.thread_times(process.pid)
        used = sorted((time - before.get(thread, 0) for thread, time in after.items()), reverse=True)
        share = used[0] / sum(used) if sum(used) else 1
        costs[number] = (figures.get("cpu_us") or 0) * share
        figures["busiest_share"] = round(share, 3)
        if number == 2 and costs[2]:
            figures["scaling"] = round(costs[1] / costs[2], 3)
        yield {"test": f"workers {number}", **figures}


@contextlib.contextmanager
def started(case, setup, proxy, addrs, number, cpus):
    """A proxy that serves. Yields nothing if it cannot do the job, or does not serve."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    with processes.directory() as scratch:
        words = proxy.words(scratch, Job(listen, addrs, number, case.sources))
        if words is None:
            yield None, None
            return
        null = open("/dev/null", "w")
        with null, running(words, cpus, stdout=null, stderr=null) as process:
            if serves(listen, case.mode, process):
                yield process, listen
            else:
                print(f"# {proxy.binary} does not serve", flush=True)
                yield None, None


def serves(listen, mode, process):
    """Waits until a connection reaches a backend."""
    host, port = listen.split(":")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1) as stream:
            stream.settimeout(1)
            if mode in ("echo", "answer"):
                stream.sendall(b"x")
            if stream.recv(1):
                return True
        time.sleep(0.02)
    return False


def free_ports(count):
    """Ports that the kernel does not choose for connections, because then a proxy might have one of its own."""
    found = []
    for port in range(19000, 32000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("no free ports")
