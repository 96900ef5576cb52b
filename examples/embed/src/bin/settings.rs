//! A proxy from a file of settings, which SIGHUP reads again: `settings FILE`, in YAML or JSON.

use std::error::Error;

use lb_proxy::Handle;
use lb_proxy::settings_file::ProxySettings;
use tokio::signal::unix::{SignalKind, signal};

fn read(file: &str) -> Result<ProxySettings, Box<dyn Error>> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(file)?)?)
}

/// Applies what has changed in the file. Sessions go on.
async fn reload(handle: &Handle, file: &str) -> Result<(), Box<dyn Error>> {
    handle.reload(read(file)?.build()?).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("settings FILE")?;
    let server = read(&file)?.build()?.bind().await?;
    eprintln!("listening on {}", server.local_addrs()[0]);
    let (handle, mut hangup) = (server.handle(), signal(SignalKind::hangup())?);
    let reloads = async {
        while hangup.recv().await.is_some() {
            match reload(&handle, &file).await {
                Ok(()) => eprintln!("reloaded"),
                Err(error) => eprintln!("{file}: {error}"),
            }
        }
    };
    tokio::select! {
        _ = server.run(std::future::pending()) => {}
        () = reloads => {}
    }
    Ok(())
}
