//! An attacker between the client and a DNS server, which changes answers over UDP.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Passes questions on to a server and changes its answers. UDP only. `Drop` ends it.
pub struct Forger {
    /// The address that clients ask.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Forger {
    /// Passes questions on to `server`. The client gets the messages that `forge` makes of each answer, in this order.
    pub async fn start(
        server: SocketAddr,
        forge: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let addr = socket.local_addr().unwrap();
        let forge = Arc::new(forge);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            loop {
                let mut question = vec![0; 512];
                let (length, client) = socket.recv_from(&mut question).await.unwrap();
                question.truncate(length);
                let (socket, forge) = (Arc::clone(&socket), Arc::clone(&forge));
                tasks.spawn(async move {
                    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    upstream.send_to(&question, server).await.unwrap();
                    let mut answer = vec![0; 4096];
                    let length = upstream.recv(&mut answer).await.unwrap();
                    answer.truncate(length);
                    for forged in forge(answer) {
                        drop(socket.send_to(&forged, client).await); // the client may have closed its socket
                    }
                });
            }
        });
        Self { addr, task }
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.task.abort();
    }
}
