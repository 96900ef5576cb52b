//! The texts of the man pages that the command line does not have.

/// A section of a man page: paragraphs, then terms with what they mean.
#[derive(Debug)]
pub(super) struct ManSection {
    pub(super) heading: &'static str,
    pub(super) paragraphs: &'static [&'static str],
    pub(super) entries: &'static [(&'static str, &'static str)],
}

pub(super) const SIGNALS: ManSection = ManSection {
    heading: "SIGNALS",
    paragraphs: &[],
    entries: &[
        ("SIGTERM, SIGINT", "Stops at once."),
        (
            "SIGQUIT",
            "Stops accepting and waits for open connections, as long as worker_shutdown_timeout says.",
        ),
        (
            "SIGHUP",
            "Reads the configuration again and applies the difference. Sessions go on. A configuration with a mistake changes nothing.",
        ),
        ("SIGUSR1", "Reopens the logs."),
        (
            "SIGUSR2",
            "Starts the file of the program as a new process, which gets the listening sockets. The file of the process id is \
             renamed to .oldbin; SIGQUIT to either process ends it.",
        ),
        (
            "SIGWINCH",
            "Beside a new process, and of a daemon: stops accepting and keeps the sockets. SIGHUP ends it.",
        ),
    ],
};

pub(super) const FILES: ManSection = ManSection {
    heading: "FILES",
    paragraphs: &[],
    entries: &[
        (
            "conf/nginx.conf, /etc/nginx/nginx.conf",
            "The configuration without -c: the first of them that exists.",
        ),
        (
            "logs/nginx.pid, /run/nginx.pid",
            "The process id, if the configuration has no pid: below the prefix, and for /etc/nginx/nginx.conf.",
        ),
        (
            "lb_admin unix:PATH",
            "The socket of the admin server, which the subcommands ask.",
        ),
        (
            "lb_admin ... token=FILE",
            "The token that lets requests over TCP change state. Other users must not be able to read it.",
        ),
    ],
};

pub(super) const ENVIRONMENT: ManSection = ManSection {
    heading: "ENVIRONMENT",
    paragraphs: &[],
    entries: &[(
        "LB_ADMIN",
        "The address of the admin server for subcommands without --admin: unix:PATH, ADDRESS:PORT or http://HOST:PORT. \
         Without it, they ask the server at the lb_admin of the configuration, whose other mistakes they pass over.",
    )],
};

pub(super) const EXIT_OF_SERVER: ManSection = ManSection {
    heading: "EXIT STATUS OF THE SERVER",
    paragraphs: &["Without a subcommand, the exit status is 0, or 1 after an error, as nginx's."],
    entries: &[],
};

pub(super) const EXIT_OF_SUBCOMMANDS: ManSection = ManSection {
    heading: "EXIT STATUS",
    paragraphs: &[
        "supervise ends with the status of the server, or with 128 and the number of the signal that ended it, and with 2 if the \
         command line is wrong. All others:",
    ],
    entries: &[
        ("0", "The answer is as asked."),
        (
            "1",
            "It is not: the server is not ready (status), no backend is chosen (explain), the replicas differ (compare), there \
             is no such upstream, backend or session, a file cannot be written (man), or the new binary is not ready and nothing has \
             changed (upgrade).",
        ),
        (
            "2",
            "The command line, the address, a value or the token file is wrong.",
        ),
        (
            "3",
            "The server cannot be reached, or does not answer as an admin server in time, or the pid file names no process that \
             handles SIGUSR2 (upgrade).",
        ),
        (
            "4",
            "The server or the permissions of its socket refuse the request, for instance without the token.",
        ),
    ],
};

/// Directives that nginx does not have, or only NGINX Plus.
pub(super) const DIRECTIVES: ManSection = ManSection {
    heading: "DIRECTIVES THAT NGINX LACKS",
    paragraphs: &[
        "The configuration is nginx's, with the modules of stream. These directives nginx lacks, or only NGINX Plus has them.",
    ],
    entries: &[
        (
            "lb_admin ADDRESS:PORT | unix:PATH [token=FILE] [allow=NETWORK] [host=NAME] [group=NAME];",
            "In stream: the admin server, an HTTP server for operators, metrics and the subcommands. The address must be a loopback address \
             unless allow= admits other networks. Requests over TCP that change state need the token of token=; over the unix \
             socket the user of the server, root and the members of group= may send them.",
        ),
        (
            "lb_close_spread TIME;",
            "On the main level: the time over which SIGQUIT resets the sessions that outlast worker_shutdown_timeout. Default: 0, all at \
             once.",
        ),
        (
            "lb_error_log_rate on | off;",
            "In stream and server: whether a storm of equal lines in the error log is cut. Default: on.",
        ),
        (
            "lb_forgive on | off;",
            "In upstream: whether ejections end at once that an outage of this machine's own link, address or route caused: \
             when the kernel reports that it is back, or when a server answers. \
             Default: on. With off an ejection lasts for its fail_timeout, as in nginx.",
        ),
        (
            "lb_essential;",
            "In upstream: the server is not ready while this upstream has no usable server.",
        ),
        (
            "lb_orphan_timeout TIME | off;",
            "In stream: how long sessions go on after the local address that their clients connected to has left this machine, for example \
             to another replica. Default: 10s.",
        ),
        (
            "lb_ready_file PATH [ready=N] [not_ready=N] [leaving=N] [heartbeat=TIME];",
            "On the main level: a file with a number that says whether the server should get new connections, for keepalived's track_file \
             and for supervisors.",
        ),
        (
            "lb_state PATH [interval=TIME] [max_age=TIME];",
            "On the main level: a file with what is known of the servers, from which the next process begins while name servers and the API \
             server are dead.",
        ),
        (
            "lb_upgrade_timeout TIME;",
            "On the main level: how long the process that SIGUSR2 starts may take to become ready. Default: 60s.",
        ),
        (
            "lb_withdraw_command PROGRAM [ARGUMENT ...];",
            "On the main level: SIGQUIT goes on accepting until this command has ended, too. It is started without a shell once the file of \
             lb_ready_file says leaving, and returns when the address or the route is gone. Its failure is logged, and the \
             shutdown goes on.",
        ),
        (
            "lb_withdraw_delay TIME;",
            "On the main level: how long SIGQUIT goes on accepting after the file of lb_ready_file says leaving.",
        ),
        (
            "lb_withdraw_timeout TIME;",
            "On the main level: the command of lb_withdraw_command is killed after this time. Default: 10s.",
        ),
        (
            "health_check [interval=TIME] [jitter=TIME] [fails=N] [passes=N] [port=N] [mandatory] [persistent] [match=NAME] [type=KIND] ...;",
            "In server: active checks of the servers of its upstream, as in NGINX Plus. type= is tcp, http, tls, agent or node_port.",
        ),
        (
            "health_check_timeout TIME;",
            "In stream and server: the time that a check may take.",
        ),
        (
            "match NAME { send TEXT; expect TEXT | ~ REGEX; }",
            "In stream: what a check sends, and what it expects.",
        ),
        (
            "kubernetes NAMESPACE/SERVICE [port=PORT] [address=node] [kubeconfig=FILE] ...;",
            "In upstream: the endpoints of a service, or with address=node the nodes at its node port, are servers.",
        ),
        (
            "kubernetes_pods NAMESPACE/SELECTOR port=PORT [kubeconfig=FILE] ...;",
            "In upstream: the pods with labels are servers.",
        ),
    ],
};
