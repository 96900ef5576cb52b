//! Files as a source that is followed: real files, in real time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::{DiscoveryError, DriverConfig, File, FileFormat};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, ports};
use tokio::time::sleep;

/// A directory of its own for each test; removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn yaml(ports: &[u16]) -> String {
    let entries = ports
        .iter()
        .map(|port| format!("  - addr: 127.0.0.1:{port}\n"));
    let entries: String = entries.collect();
    if entries.is_empty() {
        return "backends: []\n".into();
    }
    format!("backends:\n{entries}")
}

fn write(path: &Path, ports: &[u16]) {
    fs::write(path, yaml(ports)).unwrap();
}

fn follow(path: &Path) -> RunningDriver {
    let file = File::new(path).interval(Duration::from_millis(100));
    RunningDriver::start(vec![Arc::new(file)], DriverConfig::new())
}

#[tokio::test]
async fn a_file_is_followed_however_it_is_written() {
    let dir = Dir::new("file-followed");
    let path = dir.path("backends.yaml");
    write(&path, &[1, 2]);
    let mut run = follow(&path);
    let first = run.next().await;
    assert_eq!(ports(&first), [1, 2]);
    let label = format!("file:{}", path.display());
    assert!(first.iter().all(|b| b.source.as_deref() == Some(&label)));
    // In place.
    write(&path, &[1, 2, 3]);
    run.until_ports(&[1, 2, 3]).await;
    // By rename.
    write(&dir.path("new"), &[4]);
    fs::rename(dir.path("new"), &path).unwrap();
    run.until_ports(&[4]).await;
    // With the same length and modification time.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    write(&path, &[5]);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before).unwrap();
    run.until_ports(&[5]).await;
    write(&path, &[]);
    run.until_ports(&[]).await;
    run.stop().await;
}

#[tokio::test]
async fn a_mounted_configmap_is_followed() {
    // As the kubelet does: the file is a link through a link to a directory, and the kubelet swaps the latter.
    let dir = Dir::new("file-configmap");
    for (version, port) in [("v1", 1), ("v2", 2)] {
        fs::create_dir(dir.path(version)).unwrap();
        write(&dir.path(version).join("backends.yaml"), &[port]);
    }
    symlink("v1", dir.path("data")).unwrap();
    symlink("data/backends.yaml", dir.path("backends.yaml")).unwrap();
    let mut run = follow(&dir.path("backends.yaml"));
    run.until_ports(&[1]).await;
    symlink("v2", dir.path("data.new")).unwrap();
    fs::rename(dir.path("data.new"), dir.path("data")).unwrap();
    run.until_ports(&[2]).await;
    run.stop().await;
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_set_and_says_what_is_wrong() {
    let dir = Dir::new("file-bad");
    let path = dir.path("backends.yaml");
    write(&path, &[1, 2]);
    let mut run = follow(&path);
    run.until_ports(&[1, 2]).await;
    let error = |run: &RunningDriver| run.handle.status().sources[0].last_error.clone();

    fs::write(&path, "backends:\n  - addr: 127.0.0.1:3\n    wait: 3\n").unwrap();
    eventually("the error", || error(&run).is_some()).await;
    let said = error(&run).unwrap();
    let start = format!("reading {}: unknown field `wait`", path.display());
    assert!(said.starts_with(&start), "{said}");
    assert!(said.ends_with("at line 3, column 5"), "{said}");
    let status = &run.handle.status().sources[0];
    assert_eq!((status.backends, status.is_stale()), (2, true));

    fs::remove_file(&path).unwrap();
    let gone = |run: &RunningDriver| error(run).is_some_and(|said| said.contains("No such file"));
    eventually("the loss of the file", || gone(&run)).await;
    assert_eq!(run.handle.status().sources[0].backends, 2);

    // A correction is used at once, however long the file was invalid.
    write(&path, &[3]);
    let corrected = std::time::Instant::now();
    assert_eq!(ports(&run.next().await), [3]);
    assert!(corrected.elapsed() < Duration::from_secs(10));
    assert!(!run.handle.status().sources[0].is_stale());
    run.stop().await;
}

#[tokio::test(start_paused = true)] // so that nothing but the time that is written here passes between two writes
async fn half_a_file_is_not_used() {
    let dir = Dir::new("file-half");
    let path = dir.path("backends.yaml");
    write(&path, &[1, 2, 3]);
    let mut run = follow(&path);
    run.until_ports(&[1, 2, 3]).await;
    // Every prefix of this is a valid file, and none stays unchanged for long enough.
    let text = yaml(&[1, 2, 3, 4, 5, 6]);
    let mut written = String::from("backends:\n");
    for line in text.lines().skip(1) {
        written += &format!("{line}\n");
        fs::write(&path, &written).unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ports(&run.next().await), [1, 2, 3, 4, 5, 6]);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_appears_late_is_used() {
    let dir = Dir::new("file-late");
    let path = dir.path("backends.yaml");
    let mut run = follow(&path);
    assert!(run.next().await.is_empty());
    write(&path, &[1]);
    run.until_ports(&[1]).await;
    run.stop().await;
}

#[tokio::test]
async fn the_name_or_the_caller_gives_the_format() {
    let dir = Dir::new("file-format");
    let json = r#"{"backends": [{"addr": "127.0.0.1:1"}]}"#;
    for (name, text) in [
        ("a.json", json),
        ("b.JSON", json),
        ("c.yml", &yaml(&[1])),
        ("d", &yaml(&[1])),
    ] {
        fs::write(dir.path(name), text).unwrap();
        let read = File::new(dir.path(name)).read().await.unwrap();
        assert_eq!(ports(&read), [1], "{name}");
    }
    fs::write(dir.path("e.json"), yaml(&[1])).unwrap();
    assert!(File::new(dir.path("e.json")).read().await.is_err());
    let yaml = File::with_format(dir.path("e.json"), FileFormat::Yaml);
    assert_eq!(ports(&yaml.read().await.unwrap()), [1]);
}

#[tokio::test]
async fn what_is_no_file_is_an_error() {
    let dir = Dir::new("file-none");
    let large = fs::File::create(dir.path("large")).unwrap();
    large.set_len(File::MAX_SIZE + 1).unwrap();
    for (path, expected) in [
        (dir.path("."), "it is not a regular file"),
        (dir.path("large"), "it is larger than 16777216 bytes"),
        (PathBuf::from("/dev/null"), "it is not a regular file"),
    ] {
        let error = File::new(&path).read().await.unwrap_err();
        let DiscoveryError::Unusable { problem, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(&**problem, expected);
        assert_eq!(error.valid_for(), Some(Duration::from_secs(1)));
    }
}
