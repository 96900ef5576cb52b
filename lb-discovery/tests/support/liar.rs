//! Somebody between us and a DNS server who changes what it answers over UDP. There is nobody on TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Where the liar listens; dropping it ends it.
pub(crate) struct Liar {
    pub(crate) addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Liar {
    /// Passes questions on to `server`, and to the one who asked what `lie` makes of each answer, in this order.
    pub(crate) async fn start(
        server: SocketAddr,
        lie: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let addr = socket.local_addr().unwrap();
        let lie = Arc::new(lie);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            loop {
                let mut question = vec![0; 512];
                let (length, asker) = socket.recv_from(&mut question).await.unwrap();
                question.truncate(length);
                let (socket, lie) = (Arc::clone(&socket), Arc::clone(&lie));
                tasks.spawn(async move {
                    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    upstream.send_to(&question, server).await.unwrap();
                    let mut answer = vec![0; 4096];
                    let length = upstream.recv(&mut answer).await.unwrap();
                    answer.truncate(length);
                    for lie in lie(answer) {
                        drop(socket.send_to(&lie, asker).await); // who asked may have gone
                    }
                });
            }
        });
        Self { addr, task }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}
