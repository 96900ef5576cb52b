#!/usr/bin/env python3
"""Measures TCP proxies side by side, in rounds that take turns: `python3 benches/compare --help`.

    cargo build --release -p nginx_like && cargo build --release -p benches --bin lb_load
    python3 benches/compare --ours target/release/nginx_like --tests rate,rr --rounds 8

Every round of a test runs each proxy once, in turns forwards and backwards, and a ratio is that of two runs of one round: what other
work does to the machine from one minute to the next cancels out. Printed are the medians, and the medians of the ratios.

| test | load | figures |
|---|---|---|
| rate | 64 clients: connect, 64 bytes, their echo, close | CPU of a connection, connections a second, p50, p99 |
| rr | 64 bytes and their echo over 64 open connections | CPU of a round trip, round trips a second, p50, p99 |
| calls | rate and rr under strace(1) | system calls of a connection and of a round trip |
| down, up | 8 connections, the backend or the client sends | CPU of a gigabyte, gigabytes a second |
| idle | --idle sessions, each with one byte before | memory of a session (PSS) |
| beside | rate without and with --beside idle sessions | the ratio of the CPU of a connection |
| workers | rate with one worker and with two on all CPUs | connections a second and CPU of both, how the threads share the work |
| ports | rate to one backend, with --ports of the ephemeral ports to it in use | CPU of a connection, connections a second |
| ports2 | the same from two source addresses, each with as many in use | the same |

CPU is that of the proxy with all its processes, user and system time apart, in microseconds. One worker is on the first CPU, and load
and backends are on the last one, unless --cpus says otherwise.

Proxies: `ours` (--ours), other builds of it (--build NAME=PATH), `bare` (the bare loop of benches/load), and of those that are
installed nginx with its stream module, haproxy, haproxy-splice, envoy, traefik. NGINX, HAPROXY, ENVOY, TRAEFIK name other binaries.

Descriptors: the hard limit is a process's (`ulimit -Hn`). Load and backends are as many processes as they need. The sessions of
`ports` are held by processes beside the proxy, directly to its backend and from its source address: the kernel searches the ports of
all processes. A proxy needs two descriptors a session and some for itself, so `idle` and `beside` open fewer than asked if the limit is
low: `open` is their number, 0.37 of the limit at most.
"""

import argparse
import json
import os
import sys
import time

# The folder stays clean.
sys.dont_write_bytecode = True

import measure
import proxies
import processes
import report

TESTS = list(measure.TESTS)
PEERS = "bare,nginx,haproxy,haproxy-splice,envoy,traefik"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="a binary of nginx_like: the base of the ratios")
    parser.add_argument("--build", action="append", default=[], metavar="NAME=PATH", help="another one, may be repeated")
    parser.add_argument("--peers", default=PEERS, help=PEERS)
    parser.add_argument("--tests", default="rate,rr,down,up,idle", help=",".join(TESTS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a run")
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--beside", type=int, default=15000)
    parser.add_argument("--ports", default="0,14500,20000,27000")
    parser.add_argument("--cpus", default="", metavar="PROXY,LOAD", help="such as 0,1")
    parser.add_argument("--limit", type=float, default=900, help="begins no run that would end after so many seconds")
    parser.add_argument("--json", help="writes all runs, medians and ratios to this file")
    parser.add_argument("--load", help="the lb_load binary; built if it is absent")
    args = parser.parse_args()

    available = sorted(os.sched_getaffinity(0))
    cpus = [int(cpu) for cpu in args.cpus.split(",")] if args.cpus else [available[0], available[-1]]
    with processes.directory() as scratch:
        setup = measure.Setup(
            load=args.load or processes.build_load(),
            proxy_cpus=[cpus[0]],
            load_cpus=cpus[1:],
            all_cpus=available,
            seconds=args.seconds,
            idle=args.idle,
            beside=args.beside,
            ports=[int(count) for count in args.ports.split(",")],
        )
        chosen = proxies.choose(args.ours, args.build, args.peers.split(","), setup.load, scratch)
        print(f"# {', '.join(chosen)}; proxy on CPU {cpus[0]}, load on {cpus[1:]}, open files {processes.descriptor_limit()}", flush=True)
        runs = run(setup, chosen, args)
    result = report.summarize(runs)
    print(report.table(result))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"command": sys.argv[1:], "kernel": os.uname().release, "runs": runs, **result}, file, indent=1)


def run(setup, chosen, args):
    """Runs the rounds of all tests. An interrupt ends them, and what was measured is printed."""
    runs, end, longest = [], time.monotonic() + args.limit, 0.0
    try:
        for test in args.tests.split(","):
            for case in measure.cases(test, setup):
                with measure.backends(case, setup) as backends:
                    for number in range(args.rounds):
                        names = list(chosen) if number % 2 == 0 else list(reversed(chosen))
                        begin = time.monotonic()
                        if begin + longest > end:
                            print(f"# {case.name}: no time for round {number + 1} of {args.rounds}", flush=True)
                            break
                        for name in names:
                            for figures in measure.measure(case, setup, chosen[name], backends):
                                runs.append({"test": figures.pop("test", case.name), "proxy": name, "round": number, **figures})
                                print(json.dumps(runs[-1]), flush=True)
                        longest = max(longest, time.monotonic() - begin)
    except KeyboardInterrupt:
        print("# interrupted", flush=True)
    return runs


main()
