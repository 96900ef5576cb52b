use std::fs::File;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::rr::Name;

use super::*;
use crate::ip_family::IpFamily;

/// A path of its own for each test.
fn temp_path() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = format!("lb-discovery-{}-{number}", std::process::id());
    std::env::temp_dir().join(file)
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_at_most_once_a_second() {
    let path = temp_path();
    fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
    let options = ResolverOptions {
        resolv_conf: Some(path.clone()),
        hosts: Some(temp_path()), // does not exist
        ..ResolverOptions::default()
    };
    let (mut files, conf) = SystemFiles::read(&options).unwrap();
    let mut conf = Arc::new(conf);
    let mut follow = async |wait: u64| {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        files.follow(&options, &mut conf);
        format!("{:?}", conf.servers())
    };
    assert_eq!(follow(2000).await, "[10.0.0.1:53]");

    fs::write(&path, "nameserver 10.0.0.10\n").unwrap();
    assert_eq!(follow(500).await, "[10.0.0.1:53]");
    assert_eq!(follow(500).await, "[10.0.0.10:53]");

    // Broken, empty and missing files keep the previous content.
    fs::write(&path, "nameserver nonsense-is-not-an-address\n").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    fs::write(&path, "").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    fs::remove_file(&path).unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    fs::create_dir(&path).unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    fs::remove_dir(&path).unwrap();

    fs::write(&path, "nameserver 10.0.0.100\nnameserver ::1\n").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.100:53, [::1]:53]");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_at_the_start_is_an_error() {
    let options = ResolverOptions {
        resolv_conf: Some(std::env::temp_dir()), // a directory
        ..ResolverOptions::default()
    };
    let error = SystemFiles::read(&options).err().unwrap();
    assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    assert!(error.to_string().starts_with("reading "), "{error}");
}

/// As a copy with its times, or an editor that keeps them.
#[tokio::test(start_paused = true)]
async fn a_change_that_keeps_the_size_and_the_time_is_detected() {
    let (resolv_conf, hosts) = (temp_path(), temp_path());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    write(&resolv_conf, "nameserver 10.0.0.1\n");
    write(&hosts, "10.0.0.1 node.test\n");
    let options = ResolverOptions {
        resolv_conf: Some(resolv_conf.clone()),
        hosts: Some(hosts.clone()),
        ..ResolverOptions::default()
    };
    let (mut files, conf) = SystemFiles::read(&options).unwrap();
    let mut conf = Arc::new(conf);
    let mut follow = async || {
        tokio::time::sleep(CHECK_EVERY).await;
        files.follow(&options, &mut conf);
        Arc::clone(&conf)
    };
    let unchanged = follow().await;
    // Equal content changes nothing, so that no pending question and no state of a server is lost.
    write(&resolv_conf, "nameserver 10.0.0.1\n");
    assert!(Arc::ptr_eq(&follow().await, &unchanged));
    for last in [2, 3] {
        write(&resolv_conf, &format!("nameserver 10.0.0.{last}\n"));
        write(&hosts, &format!("10.0.0.{last} node.test\n"));
        let conf = follow().await;
        assert_eq!(
            format!("{:?}", conf.servers()),
            format!("[10.0.0.{last}:53]")
        );
        let name = Name::from_ascii("node.test").unwrap();
        let addrs = conf.hosts().find(&name, &[IpFamily::V4]);
        assert_eq!(addrs, [IpAddr::from([10, 0, 0, last])]);
        // Another file in its place.
        let other = temp_path();
        write(&other, "nameserver 10.0.0.9\n");
        fs::rename(&other, &resolv_conf).unwrap();
        assert_eq!(format!("{:?}", follow().await.servers()), "[10.0.0.9:53]");
    }
    fs::remove_file(&resolv_conf).unwrap();
    fs::remove_file(&hosts).unwrap();
}

#[test]
fn a_stamp_is_reliable_once_the_file_is_unchanged() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let stamp = |modified: i64, changed: i64| Stamp {
        device: 1,
        inode: 1,
        length: 1,
        modified: (modified, 0),
        changed: (changed, 0),
    };
    assert!(stamp(now - 60, now - 60).is_settled());
    assert!(!stamp(now - 60, now).is_settled());
    assert!(!stamp(now, now - 60).is_settled());
    assert!(!stamp(now + 60, now - 60).is_settled());
}

/// As in the system's resolver, a file without a usable server does not prevent the start.
#[test]
fn a_file_that_is_broken_at_the_start_means_this_machine() {
    let path = temp_path();
    fs::write(&path, "search .local\nnameserver nonsense\n").unwrap();
    let options = ResolverOptions {
        resolv_conf: Some(path.clone()),
        hosts: Some(temp_path()),
        ..ResolverOptions::default()
    };
    let (_, conf) = SystemFiles::read(&options).unwrap();
    assert_eq!(format!("{:?}", conf.servers()), "[127.0.0.1:53]");
    fs::remove_file(&path).unwrap();
}
