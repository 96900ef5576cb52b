//! The configurations in `ha` are correct in the eyes of keepalived and BIRD.

use crate::bird::BirdConfig;
use crate::keepalived::{KeepalivedConfig, Variant};
use crate::lan::Lan;
use crate::requirements;

#[test]
fn keepalived_accepts_its_configurations() {
    if !requirements::are_met() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let lan = Lan::new("10.77.0");
    let machine = lan.machine("lb1", 1);
    for variant in Variant::ALL {
        let setup = KeepalivedConfig::new(variant, "lb1", "10.77.0.100", dir.path());
        setup.check(&machine).unwrap();
    }
}

#[test]
fn bird_accepts_its_configurations() {
    if !requirements::are_met() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["birdc.conf", "link.conf", "router.conf"] {
        let setup = BirdConfig::new(name, &[("SELF", "10.78.1.1")], dir.path());
        setup.check().unwrap();
    }
}
