//! An HTTP client with valid credentials.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use kube::Client;
use kube::config::Config;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::DiscoveryError;
use crate::file_io::reader::FileReader;
use crate::sources::kubernetes::api::http_stack;
use crate::sources::kubernetes::config::credentials::{ClientCertificate, Credentials};
use crate::sources::kubernetes::config::kubeconfig::ClusterConfig;
use crate::sources::kubernetes::error;

/// Makes a client on demand, and a new one when a plugin returns another certificate.
pub(crate) struct AuthenticatedClient {
    /// For messages, as `reading the kubeconfig /etc/lb/kubeconfig`.
    pub(crate) what: Box<str>,
    pub(crate) loaded: ClusterConfig,
    pub(crate) reader: FileReader,
    pub(crate) connect_timeout: Duration,
    pub(crate) plugin_timeout: Duration,
    pub(crate) in_use: Mutex<Option<(Client, Credentials)>>,
}

impl AuthenticatedClient {
    /// Returns a client, and the `Authorization` of its next request. Renews credentials that expire; if that fails or is
    /// cancelled, the previous ones are kept.
    pub(crate) async fn get(&self) -> Result<(Client, Option<HeaderValue>), DiscoveryError> {
        let mut in_use = self.in_use.lock().await;
        if let Some((client, given)) = &*in_use
            && given.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok((client.clone(), given.header.clone()));
        }
        let last = in_use.as_ref().map(|(_, given)| given);
        let credentials = &self.loaded.credentials;
        let given = credentials.get(&self.what, &self.reader, self.plugin_timeout, last);
        let given = given.await?;
        let client = match &*in_use {
            Some((client, last)) if last.identity == given.identity => client.clone(),
            _ => self.client(given.identity.as_ref()).await?,
        };
        let header = given.header.clone();
        *in_use = Some((client.clone(), given));
        Ok((client, header))
    }

    async fn client(&self, identity: Option<&ClientCertificate>) -> Result<Client, DiscoveryError> {
        let mut config: Config = self.loaded.config.clone();
        if let Some(ClientCertificate { certificate, key }) = identity {
            config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(certificate));
            config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(&key.0).into());
        }
        let proxy = self.loaded.proxy.clone();
        let connect_timeout = self.connect_timeout;
        let make = move || http_stack::of(&config, proxy.as_ref(), connect_timeout);
        let made = self.reader.read(&self.what, make).await?;
        made.map_err(|error| error::config(&self.what, &error::root_cause(&error)))
    }
}
