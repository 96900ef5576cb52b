//! A local network: a switch, and machines that are plugged into it.

use std::process::Command;

use test_support::namespace::{Namespace, run};

/// The device of a machine that leads to its switch.
pub(crate) const DEVICE: &str = "eth0";

/// A switch: a bridge in a namespace of its own.
#[derive(Debug)]
pub(crate) struct Lan {
    switch: Namespace,
    subnet: &'static str,
}

impl Lan {
    /// `subnet` is what the addresses of its machines begin with, such as `10.77.0`.
    pub(crate) fn new(subnet: &'static str) -> Self {
        let switch = Namespace::create("sw").unwrap();
        switch
            .ip(&["link", "add", "br0", "type", "bridge"])
            .unwrap();
        switch.ip(&["link", "set", "br0", "up"]).unwrap();
        Self { switch, subnet }
    }

    /// A new machine with the last byte `host` in its address.
    pub(crate) fn machine(&self, name: &str, host: u8) -> Namespace {
        let machine = Namespace::create(name).unwrap();
        self.attach(&machine, DEVICE, name, host);
        machine
    }

    /// Plugs `device` of `machine` into the port `port`.
    pub(crate) fn attach(&self, machine: &Namespace, device: &str, port: &str, host: u8) {
        machine.link(device, &self.switch, port).unwrap();
        let address = format!("{}/24", self.address(host));
        machine
            .ip(&["addr", "add", &address, "dev", device])
            .unwrap();
        machine.ip(&["link", "set", device, "up"]).unwrap();
        self.plug(port);
        self.set_port(port, "up");
    }

    pub(crate) fn address(&self, host: u8) -> String {
        format!("{}.{host}", self.subnet)
    }

    /// Lets nothing through at the port, which keeps its carrier: no side notices.
    pub(crate) fn unplug(&self, port: &str) {
        self.switch.ip(&["link", "set", port, "nomaster"]).unwrap();
    }

    pub(crate) fn plug(&self, port: &str) {
        self.switch
            .ip(&["link", "set", port, "master", "br0"])
            .unwrap();
    }

    /// `down`: the machine at the port loses its carrier.
    pub(crate) fn set_port(&self, port: &str, state: &str) {
        self.switch.ip(&["link", "set", port, state]).unwrap();
    }
}

/// Sets a variable of the kernel in a namespace, such as `net.ipv4.ip_forward=1`.
pub(crate) fn sysctl(machine: &Namespace, setting: &str) {
    run(machine.command("sysctl").args(["-qw", setting])).unwrap();
}

/// What `ip` prints.
pub(crate) fn ip_output(machine: &Namespace, args: &[&str]) -> String {
    let mut command = Command::new("ip");
    let output = command
        .args(["-n", machine.name()])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
