use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use super::*;
use crate::config::overrides::Overrides;

/// A handler that has read a configuration with this pid file. The server has another user.
fn handler(pid: &Path) -> Arc<RequestHandler> {
    let configured = ConfiguredPaths {
        pids: HashSet::from([pid.to_owned()]),
        ..ConfiguredPaths::default()
    };
    Arc::new(RequestHandler {
        path: ConfPath {
            conf: pid.with_extension("conf"),
            prefix: PathBuf::new(),
            overrides: Overrides::default(),
        },
        owner: Uid::from_raw(geteuid().as_raw() + 1),
        server: 17,
        configured: Mutex::new(configured),
        files: Arc::default(),
        upgrade: Upgrade::new(Invocation {
            program: PathBuf::new(),
            arguments: Vec::new(),
        }),
    })
}

fn frame(tag: Tag, path: &Path) -> Frame {
    Frame {
        tag,
        body: path.as_os_str().as_encoded_bytes().to_vec(),
        file: None,
    }
}

#[test]
fn each_path_has_one_pid_file_however_often_it_is_requested() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.pid");
    let handler = handler(&path);
    let ask = |tag, path: &Path| handler.answer(frame(tag, path)).map(drop);
    ask(Tag::WritePid, &path).expect_err("a file that is not open");
    for _ in 0..200 {
        ask(Tag::OpenPid, &path).unwrap();
        ask(Tag::WritePid, &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "17\n");
        assert_eq!(handler.files.lock().pids.len(), 1);
    }
    let other = dir.path().join("other");
    for tag in [Tag::OpenPid, Tag::OpenLog, Tag::WritePid] {
        ask(tag, &other).expect_err("a path that no configuration names");
    }
    assert!(!other.exists());
    ask(Tag::RemovePid, &path).unwrap();
    assert!(!path.exists() && handler.files.lock().pids.is_empty());
}

#[test]
fn a_token_is_opened_if_a_configuration_names_it_and_no_link_of_the_user_leads_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let [token, link] = ["token", "link"].map(|name| dir.path().join(name));
    fs::write(&token, "0123456789abcdef").unwrap();
    std::os::unix::fs::symlink(&token, &link).unwrap();
    let conf = dir.path().join("lb.conf");
    let named = |name: &str| {
        let text = format!(
            "stream {{ lb_admin 127.0.0.1:1 token={}; server {{ listen 2; return a; }} }}",
            dir.path().join(name).display()
        );
        fs::write(&conf, text).unwrap();
    };
    let mut handler = handler(&dir.path().join("lb.pid"));
    let ask = |handler: &RequestHandler, path: &Path| {
        let answer = handler.answer(frame(Tag::OpenToken, path));
        answer.map(|answer| io::read_to_string(answer.file.unwrap()).unwrap())
    };
    ask(&handler, &token).expect_err("a path that no configuration names");
    named("token");
    handler.load();
    assert_eq!(ask(&handler, &token).unwrap(), "0123456789abcdef");
    named("missing");
    handler.load();
    ask(&handler, &dir.path().join("missing")).expect_err("no file");
    assert!(!dir.path().join("missing").exists());
    named("link");
    handler.load();
    ask(&handler, &link).expect("a link of another user");
    Arc::get_mut(&mut handler).unwrap().owner = geteuid();
    ask(&handler, &link).expect_err("a link of the user");
}

#[test]
fn requests_that_hang_are_limited_and_delay_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.pid");
    let handler = handler(&path);
    let conf = path.with_extension("conf");
    // Reading it hangs until it is written.
    mknodat(CWD, &conf, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    let request = |tag| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut frame = frame(tag, &path);
        frame.file = Some(OwnedFd::from(theirs).into());
        RequestHandler::start(&handler, frame);
        ours
    };
    let tag_of = |answer: &UnixStream| receive(answer).unwrap().expect("an answer").tag;
    let mut hanging: Vec<_> = (1..MAX_REQUESTS).map(|_| request(Tag::Load)).collect();
    assert_eq!(tag_of(&request(Tag::OpenPid)), Tag::Done);
    // The thread of that request may still be ending.
    while Arc::strong_count(&handler) > MAX_REQUESTS {
        thread::yield_now();
    }
    hanging.push(request(Tag::Load));
    assert_eq!(tag_of(&request(Tag::OpenPid)), Tag::Failed);
    // A reader that has opened it before the end of a writer sees that end.
    let mut options = File::options();
    let writer = options.read(true).write(true).open(&conf).unwrap();
    fs::remove_file(&conf).unwrap();
    drop(writer);
    for answer in &hanging {
        assert_eq!(tag_of(answer), Tag::Done);
    }
}
