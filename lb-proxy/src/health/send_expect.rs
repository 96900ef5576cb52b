//! The check that sends bytes and reads what the backend answers.

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;

use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::expect::{Expect, ExpectError, bytes_of_hex};
use super::probe::Probe;

/// How many bytes of an answer are read by default, as HAProxy's `tune.chksize`.
const MAX_BYTES: usize = 16 * 1024;

/// Sends bytes and expects others, step by step. Without steps it only connects.
///
/// ```
/// use lb_proxy::health::{Expect, SendExpect};
///
/// // An SMTP server that greets, and says good-bye.
/// let check = SendExpect::new()
///     .expect(Expect::try_bytes("220 ")?)
///     .send("QUIT\r\n")
///     .expect(Expect::try_bytes("221 ")?);
/// # let _ = check;
/// # Ok::<(), lb_proxy::health::ExpectError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias = "tcp-check", alias = "match")]
pub struct SendExpect {
    steps: Vec<Step>,
    max_bytes: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Box<[u8]>),
    Expect(Expect),
}

impl Default for SendExpect {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            max_bytes: MAX_BYTES,
        }
    }
}

impl SendExpect {
    /// A check without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `bytes` next.
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(bytes.as_ref().into()));
        self
    }

    /// Sends bytes next that are written in hexadecimal, two digits each. Blanks may separate them.
    ///
    /// # Errors
    ///
    /// [`ExpectError::Hex`] if the text is something else.
    #[doc(alias = "send-binary")]
    pub fn try_send_hex(self, digits: &str) -> Result<Self, ExpectError> {
        let bytes = bytes_of_hex(digits)?;
        Ok(self.send(bytes))
    }

    /// Reads next until the answer contains what is expected. What comes before it is skipped; the next step begins behind
    /// it.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.steps.push(Step::Expect(expect));
        self
    }

    /// Sets how many bytes are read at most, all steps together. An answer that is longer fails. Default: 16 KiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

#[async_trait]
impl HealthCheck for SendExpect {
    fn name(&self) -> &str {
        "send_expect"
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let mut stream = probe.connect().await?;
        let mut answer = Vec::new();
        let mut begin = 0;
        for step in &self.steps {
            let expect = match step {
                Step::Send(bytes) => {
                    stream.write_all(bytes).await?;
                    continue;
                }
                Step::Expect(expect) => expect,
            };
            let mut end = expect.end_of_match(&answer[begin..], 0);
            let mut searched = answer.len() - begin;
            if end.is_none() {
                probe.set_unmatched(&answer[begin..]);
                end = stream
                    .read_until(&mut answer, self.max_bytes, |answer| {
                        let rest = &answer[begin..];
                        let end = expect.end_of_match(rest, searched);
                        searched = rest.len();
                        if end.is_none() {
                            probe.set_unmatched(rest);
                        }
                        end
                    })
                    .await?;
            }
            match end {
                Some(end) => begin += end,
                None => return Err(CheckError::unexpected(&answer[begin..])),
            }
        }
        let first = answer.split(|&byte| byte == b'\n').next();
        let first = first.unwrap_or_default().trim_ascii_end();
        Ok(CheckReport::with_text(String::from_utf8_lossy(first)))
    }
}
