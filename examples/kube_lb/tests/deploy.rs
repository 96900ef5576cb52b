//! The files of `deploy`, the Dockerfile and the commands of the documents agree with the program and with each other.

#![allow(clippy::print_stdout, reason = "what is skipped")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use kube_lb::config::Config;
use kube_lb::objects::Service;
use kube_lb::rbac;
use serde_json::{Value, json};

/// Where the program looks for its configuration.
const CONFIG: &str = "/etc/kube_lb/kube_lb.yaml";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    let path = folder().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n");
    let parsed =
        parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{e}: {part}")));
    parsed.collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let only = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "several of kind {kind}");
    only
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube_lb"));
    command.args(arguments).output().unwrap()
}

/// Whether the command line accepts these arguments, without running them.
fn accepts(arguments: &[&str]) {
    let output = run(&[arguments, &["--help"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// The default of `--config`, as the help shows it.
#[test]
fn the_configuration_is_looked_for_where_the_files_put_it() {
    let help = String::from_utf8(run(&["run", "--help"]).stdout).unwrap();
    assert!(help.contains(&format!("[default: {CONFIG}]")), "{help}");
}

#[test]
fn the_daemon_set_fits_the_program_and_its_permissions() {
    let all = documents(&read("deploy/inside/daemonset.yaml"));
    let config_map = of_kind(&all, "ConfigMap");
    let daemon_set = of_kind(&all, "DaemonSet");
    let name = Path::new(CONFIG).file_name().unwrap().to_str().unwrap();
    let config = Config::parse(config_map["data"][name].as_str().unwrap()).unwrap();
    let pod = &daemon_set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];

    // The file is mounted where the program looks for it.
    let mount = &container["volumeMounts"][0];
    let folder = Path::new(CONFIG).parent().unwrap().to_str();
    assert_eq!(mount["mountPath"].as_str(), folder);
    let volume = &pod["volumes"][0];
    assert_eq!(mount["name"], volume["name"]);
    assert_eq!(volume["configMap"]["name"], config_map["metadata"]["name"]);
    let arguments: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect();
    accepts(&arguments);

    // The probe asks the admin server, and the kubelet's network is the pod's.
    let probe = &container["readinessProbe"]["httpGet"];
    let admin = config.admin.unwrap();
    assert_eq!(probe["host"], admin.ip().to_string());
    assert_eq!(probe["port"], admin.port());
    assert_eq!(probe["path"], "/readyz");
    assert_eq!(pod["hostNetwork"], true);

    // A low port needs the capability; nothing else is needed.
    let security = &container["securityContext"];
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
    );
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(grace) > config.withdraw_delay + config.drain_timeout);

    // The selector selects the pods, and the account is the one with the permissions.
    let labels = &daemon_set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(daemon_set["spec"]["selector"]["matchLabels"], *labels);
    let permissions = documents(&read("deploy/rbac.yaml"));
    let account = &of_kind(&permissions, "ServiceAccount")["metadata"];
    assert_eq!(pod["serviceAccountName"], account["name"]);
    for object in [config_map, daemon_set] {
        assert_eq!(object["metadata"]["namespace"], account["namespace"]);
    }
    // The Lease is in the namespace of the Role.
    let lease = config.lease.unwrap();
    let role = of_kind(&permissions, "Role");
    assert_eq!(role["metadata"]["namespace"], lease.namespace);
}

#[test]
fn every_role_is_bound_to_the_account() {
    let all = documents(&rbac::manifest("some-namespace"));
    let account = &of_kind(&all, "ServiceAccount")["metadata"];
    assert_eq!(account["namespace"], "some-namespace");
    for kind in ["Role", "ClusterRole"] {
        let role = of_kind(&all, kind);
        assert!(!role["rules"].as_array().unwrap().is_empty());
        let binding = of_kind(&all, &format!("{kind}Binding"));
        assert_eq!(binding["roleRef"]["kind"], kind);
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        let subject = &binding["subjects"][0];
        assert_eq!(subject["name"], account["name"]);
        assert_eq!(subject["namespace"], account["namespace"]);
    }
}

/// The settings of a unit. One that is given twice has the last value.
fn unit() -> BTreeMap<String, String> {
    let text = read("deploy/outside/kube_lb.service");
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    let settings = lines.filter_map(|line| line.split_once('='));
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_unit_fits_the_program_and_the_configuration_beside_it() {
    let config = Config::parse(&read("deploy/outside/kube_lb.yaml")).unwrap();
    let unit = unit();
    let mut words = unit["ExecStart"].split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/kube_lb"));
    accepts(&words.collect::<Vec<_>>());
    let stop = Duration::from_secs(unit["TimeoutStopSec"].parse().unwrap());
    assert!(stop > config.withdraw_delay + config.drain_timeout);
    // systemd hears of readiness, and makes the folder of the file that keepalived and BIRD read.
    assert_eq!(unit["Type"], "notify");
    let file = config.ready_file.unwrap();
    let folder = Path::new("/run").join(&unit["RuntimeDirectory"]);
    assert_eq!(file.path.parent(), Some(&*folder));
    // Whatever ends the process, the file is there and says so.
    assert_eq!(unit["RuntimeDirectoryPreserve"], "yes");
    let afterwards = format!("echo {} >{}", file.not_ready, file.path.display());
    assert!(unit["ExecStopPost"].contains(&afterwards));
    assert!(unit["ExecReload"].contains("kill -HUP"));
    let state = Path::new("/var/lib").join(&unit["StateDirectory"]);
    assert_eq!(config.state.unwrap().file.parent(), Some(&*state));
    let watchdog: u64 = unit["WatchdogSec"].parse().unwrap();
    assert!(Duration::from_secs(watchdog) > 3 * file.heartbeat);
    assert_eq!(unit["AmbientCapabilities"], "CAP_NET_BIND_SERVICE");
    for family in ["AF_INET", "AF_INET6", "AF_UNIX"] {
        assert!(unit["RestrictAddressFamilies"].contains(family));
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kube_lb.service");
    // The program and its user are those of this machine.
    let text = read("deploy/outside/kube_lb.service")
        .replace("/usr/local/bin/kube_lb", env!("CARGO_BIN_EXE_kube_lb"))
        .replace("=kube_lb\n", "=root\n")
        .replace("Directory=root", "Directory=kube_lb");
    fs::write(&path, text).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output();
    let Ok(verified) = verified else {
        return println!("skipped: no systemd-analyze");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    // What it says of the machine's own units is not about this one.
    let about: Vec<_> = said
        .lines()
        .filter(|line| line.contains("kube_lb.service"))
        .collect();
    assert!(verified.status.success() && about.is_empty(), "{said}");
}

#[test]
fn the_image_is_built_of_what_exists() {
    let dockerfile = read("Dockerfile");
    let root = folder().join("../..");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let version = |text: &str, before: &str| -> (u32, u32) {
        let (_, rest) = text.split_once(before).unwrap();
        let digits: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let (major, minor) = digits.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    };
    let needed = version(&manifest, "rust-version = \"");
    assert!(version(&dockerfile, "ARG RUST_VERSION=") >= needed);
    // The command that the file states, and the command that it runs.
    assert!(dockerfile.contains("docker build -f examples/kube_lb/Dockerfile "));
    assert!(root.join("examples/kube_lb/Dockerfile").is_file());
    let package = "cargo build --release --locked -p kube_lb ";
    assert!(dockerfile.contains(package), "{dockerfile}");
    assert!(dockerfile.contains("target/$target/release/kube_lb"));
    assert!(root.join("Cargo.lock").is_file(), "--locked needs it");
    assert!(read("Cargo.toml").contains("name = \"kube_lb\"\npath = \"src/main.rs\""));
    let command = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("CMD "));
    let arguments: Vec<String> = serde_json::from_str(command.unwrap()).unwrap();
    accepts(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The blocks of code of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let text = read(document);
    let rest = text.split(&*begin).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_commands_of_the_documents_are_accepted() {
    let mut found = 0;
    for document in ["README.md", "docs/gateway-api.md"] {
        for block in blocks(document, "sh") {
            for line in block.lines() {
                let line = line.split(['#', '|']).next().unwrap().trim();
                let Some(arguments) = line.strip_prefix("kube_lb ") else {
                    continue;
                };
                accepts(&arguments.split_whitespace().collect::<Vec<_>>());
                found += 1;
            }
        }
    }
    assert!(found >= 4, "{found}");
    // What needs no cluster runs.
    for printed in [&["rbac"][..], &["policy-crd"]] {
        let output = run(printed);
        assert!(
            output.status.success()
                && !documents(std::str::from_utf8(&output.stdout).unwrap()).is_empty()
        );
    }
}

#[test]
fn the_examples_of_the_readme_are_read() {
    let yaml = blocks("README.md", "yaml");
    let config = yaml.iter().find(|text| text.contains("pools:")).unwrap();
    assert!(config.contains(CONFIG));
    let config = Config::parse(config).unwrap();
    assert_eq!(config.pools.iter().count(), 1);
    let service = yaml
        .iter()
        .find(|text| text.contains("kind: Service"))
        .unwrap();
    let service: Service = serde_saphyr::from_str(service).unwrap();
    assert_eq!(service.spec.load_balancer_class, Some(config.class));
    let kinds = blocks("docs/gateway-api.md", "yaml");
    let kinds: Vec<_> = documents(&kinds[0])
        .iter()
        .map(|object| object["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["GatewayClass", "Gateway", "TCPRoute"]);
}
