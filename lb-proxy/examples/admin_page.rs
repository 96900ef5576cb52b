//! A balancer with the page of the admin server, from a folder of files with backends.
//!
//! ```text
//! cargo run -p lb-proxy --example admin_page --features admin,file,metrics -- 127.0.0.1:9446 TOKEN_FILE FOLDER
//! ```
//!
//! Each `NAME.json` in the folder is an upstream; `lb_discovery::File` describes what is in it and follows its changes. Its
//! listener gets a port of 127.0.0.1 from the kernel, which is printed. SIGHUP reads the list of files again. SIGINT ends it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_proxy::admin::{Admin, AdminListener, AdminSettings, AdminToken, DESCRIPTORS};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::lb_discovery::File;
use lb_proxy::{Listener, Proxy, Upstream};
use tokio::signal::unix::{SignalKind, signal};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [admin, token, folder] = &arguments[..] else {
        return Err("usage: admin_page ADDRESS TOKEN_FILE FOLDER".into());
    };
    let token = AdminToken::read(Path::new(token))?;
    let settings = AdminSettings::tcp(admin.parse()?).token(Some(token));
    let listener = AdminListener::open(&settings)?;
    let mut listening = BTreeMap::new();
    let server = proxy(folder.as_ref(), &mut listening)?.bind().await?;
    let handle = server.handle();
    let admin = Admin::builder(handle.clone())
        .program("admin_page", env!("CARGO_PKG_VERSION"))
        .build()
        .serve(listener);
    let mut hangup = signal(SignalKind::hangup())?;
    let folder = PathBuf::from(folder);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reloaded = match proxy(&folder, &mut listening) {
                Ok(proxy) => handle
                    .reload(proxy)
                    .await
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = reloaded {
                handle.note_failed_reload(error);
            }
        }
    });
    let mut interrupt = signal(SignalKind::interrupt())?;
    server.run(async { _ = interrupt.recv().await }).await;
    admin.stop().await;
    Ok(())
}

/// The proxy that the files describe. `listening` has the addresses of upstreams by name, which a reload keeps.
fn proxy(folder: &Path, listening: &mut BTreeMap<String, SocketAddr>) -> Fallible<Proxy> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let mut proxy = Proxy::builder()
        .detailed_metrics(true)
        .track_sessions(true)
        .reserve_descriptors(DESCRIPTORS);
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let addr = match listening.get(&*name) {
            Some(&addr) => addr,
            None => free_address()?,
        };
        if listening.insert(name.clone().into_owned(), addr).is_none() {
            writeln!(std::io::stdout(), "{addr} {name}")?;
        }
        let upstream = Upstream::builder(&*name)
            .discovery(File::new(&file))
            .build()?;
        let listener = Listener::new(addr, &upstream);
        proxy = proxy.listener(listener.preread(Arc::new(ClientHelloReader::new())));
    }
    Ok(proxy.build()?)
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
