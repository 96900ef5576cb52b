//! The process of a Prometheus.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_support::deadline::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A scrape of a debug build takes some ten milliseconds.
const SCRAPE_EVERY: Duration = Duration::from_millis(250);

/// A Prometheus that scrapes one target.
pub(super) struct Prometheus {
    process: Child,
    addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    pub(super) fn start(program: &Path, target: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let every = SCRAPE_EVERY.as_millis();
        let text = format!(
            "scrape_configs:\n- job_name: lb\n  scrape_interval: {every}ms\n  scrape_timeout: {every}ms\n  \
             static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let addr = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let addr = line.split_once("Listening on\" address=")?.1;
            addr.split_whitespace().next()?.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            addr: addr.expect("the address of Prometheus"),
            _directory: directory,
        }
    }

    /// The value of the first series of an instant query. `None` without a series.
    pub(super) async fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.contains("\"status\":\"success\""),
            "{query}: {answer}"
        );
        let value = answer.split_once("\"value\":[")?.1;
        value.split('"').nth(1)?.parse().ok()
    }

    /// Waits for this number of scrapes.
    pub(super) async fn scrapes_more(&self, scrapes: u32) {
        let count = || async {
            let count = self.query("count_over_time(up[1h])").await;
            count.unwrap_or(0.0)
        };
        let begin = count().await;
        let scraped = async {
            while count().await < begin + f64::from(scrapes) {
                sleep(SCRAPE_EVERY).await;
            }
        };
        within("the scrapes", scraped).await;
    }

    pub(super) async fn wait_for(&self, query: &str, value: u64) {
        let reached = async {
            loop {
                let now = self.query(query).await;
                if now == Some(value as f64) {
                    return;
                }
                assert!(
                    now.is_none_or(|now| now <= value as f64),
                    "{query}: {now:?}, not {value}"
                );
                sleep(SCRAPE_EVERY).await;
            }
        };
        within(query, reached).await;
    }

    /// Waits until the query has no series.
    pub(super) async fn wait_for_none(&self, query: &str) {
        let gone = async {
            while self.query(query).await.is_some() {
                sleep(SCRAPE_EVERY).await;
            }
        };
        within("the end of the series", gone).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
