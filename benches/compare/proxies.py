"""The proxies, and the same job in the language of each."""

import os
import shutil
import subprocess
import sys

from processes import descriptor_limit

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
SOURCES = ["127.0.0.1", "127.0.0.2"]


class Proxy:
    """A binary and the function that writes its configuration: (directory, job) -> words of the command line."""

    def __init__(self, binary, command):
        self.binary, self.command = binary, command

    def words(self, directory, job):
        """None if it cannot do the job."""
        words = self.command(directory, job)
        return words and [self.binary, *words]


class Job:
    """Listen on an address and connect to one of the backends, with so many workers, from so many source addresses."""

    def __init__(self, listen, backends, workers=1, sources=0):
        self.listen, self.backends, self.workers, self.sources = listen, backends, workers, SOURCES[:sources]


def choose(ours, builds, peers, load, scratch):
    """The proxies by name: ours first, then other builds, then those of `peers` that are installed."""
    chosen = {}
    like = lambda path: Proxy(os.path.abspath(path), nginx_like)
    if ours:
        chosen["ours"] = like(ours)
    for build in builds:
        name, path = build.split("=", 1)
        chosen[name] = like(path)
    known = {
        "bare": (load, bare),
        "nginx": ("nginx", nginx),
        "haproxy": ("haproxy", haproxy),
        "haproxy-splice": ("haproxy", lambda *job: haproxy(*job, option="option splice-auto")),
        "envoy": ("envoy", envoy),
        "traefik": ("traefik", traefik),
    }
    for name in filter(None, peers):
        binary, command = known[name]
        path = shutil.which(os.environ.get(binary.upper(), binary))
        if path:
            chosen[name] = Proxy(path, command)
        else:
            print(f"# {name}: not installed", file=sys.stderr)
    for binary in {proxy.binary for proxy in chosen.values()}:
        if not os.access(binary, os.X_OK):
            sys.exit(f"{binary} cannot be run")
    return chosen


def write(directory, name, text):
    path = directory / name
    path.write_text(text)
    return path


def nginx_text(directory, job, first):
    limit = descriptor_limit()
    source, bind = "", ""
    if job.sources:
        shares = "".join(f"{100 // len(job.sources)}% {addr}; " for addr in job.sources[:-1]) + f"* {job.sources[-1]};"
        source, bind = f'split_clients "$remote_addr$remote_port" $source {{ {shares} }}', "proxy_bind $source;"
    servers = " ".join(f"server {addr};" for addr in job.backends)
    return f"""{first}
worker_processes {job.workers};
worker_rlimit_nofile {limit};
pid {directory}/pid;
error_log {directory}/error.log crit;
events {{ worker_connections {limit - 200}; }}
stream {{
    {source}
    upstream backends {{ {servers} }}
    server {{ listen {job.listen} backlog=4096{" reuseport" if job.workers > 1 else ""}; proxy_pass backends; {bind} }}
}}
"""


def nginx_like(directory, job):
    return ["-c", write(directory, "nginx_like.conf", nginx_text(directory, job, ""))]


def nginx(directory, job):
    binary = shutil.which(os.environ.get("NGINX", "nginx"))
    built = subprocess.run([binary, "-V"], capture_output=True, text=True).stderr
    module = f"load_module {MODULE};" if "--with-stream=dynamic" in built else ""
    user = "user root;" if os.geteuid() == 0 else ""
    return ["-c", write(directory, "nginx.conf", nginx_text(directory, job, f"{module} {user} daemon off;"))]


def haproxy(directory, job, option=""):
    # With pipes for splice(2), the most sessions for which it finds descriptors.
    pairs = [(addr, source) for addr in job.backends for source in job.sources or [None]]
    servers = "".join(
        f"  server s{number} {addr}{f' source {source}' if source else ''}\n" for number, (addr, source) in enumerate(pairs)
    )
    text = f"""global
  nbthread {job.workers}
  maxconn {int(descriptor_limit() * 0.385)}
defaults
  mode tcp
  {option}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen proxy
  bind {job.listen} backlog 4096
  balance roundrobin
{servers}"""
    return ["-db", "-f", write(directory, "haproxy.cfg", text)]


def bare(directory, job):
    if job.workers > 1 or job.sources:
        return None
    return ["relay", "--listen", job.listen, "--to", ",".join(job.backends)]


def envoy(directory, job):
    if job.sources:
        return None
    socket = lambda addr: "{ socket_address: { address: %s, port_value: %s } }" % tuple(addr.split(":"))
    endpoints = "".join(f"      - endpoint: {{ address: {socket(addr)} }}\n" for addr in job.backends)
    text = f"""static_resources:
  listeners:
  - address: {socket(job.listen)}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: proxy
          cluster: backends
  clusters:
  - name: backends
    type: STATIC
    lb_policy: ROUND_ROBIN
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 100000, max_pending_requests: 100000 }}] }}
    load_assignment:
      cluster_name: backends
      endpoints:
      - lb_endpoints:
{"".join("  " + line + chr(10) for line in endpoints.splitlines())}"""
    return ["-c", write(directory, "envoy.yaml", text), "--concurrency", job.workers, "-l", "critical", "--use-dynamic-base-id"]


def traefik(directory, job):
    if job.sources or job.workers > 1:
        return None
    servers = ", ".join(f'{{ address: "{addr}" }}' for addr in job.backends)
    routes = write(
        directory,
        "routes.yaml",
        f"""tcp:
  routers: {{ proxy: {{ rule: "HostSNI(`*`)", service: backends, entryPoints: [proxy] }} }}
  services: {{ backends: {{ loadBalancer: {{ servers: [{servers}] }} }} }}
""",
    )
    text = f"""entryPoints: {{ proxy: {{ address: "{job.listen}" }} }}
providers: {{ file: {{ filename: {routes} }} }}
log: {{ level: ERROR }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
"""
    return [f"--configFile={write(directory, 'traefik.yaml', text)}"]
