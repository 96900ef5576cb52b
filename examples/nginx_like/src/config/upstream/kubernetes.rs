//! `kubernetes` and `kubernetes_pods` of an `upstream` block. nginx has neither.

use std::path::PathBuf;

use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;

/// A `kubernetes` or `kubernetes_pods` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kubernetes {
    pub(crate) namespace: String,
    pub(crate) backends: KubernetesBackends,
    /// `kubeconfig`: the file that says how to reach the cluster. Without it, as kubectl: the files of `$KUBECONFIG` or
    /// else `~/.kube/config`, and where there are none the cluster that nginx_like runs in.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// `context`: a context of the kubeconfig instead of its current one.
    pub(crate) context: Option<String>,
    pub(crate) span: Span,
}

/// The backends in a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KubernetesBackends {
    /// `kubernetes … address=node`: the nodes of the cluster, at the node port of a Service.
    Nodes {
        service: String,
        /// `port`, of the Service; its only one by default.
        port: Option<KubernetesPort>,
    },
    /// `kubernetes_pods`: pods on ports of their nodes.
    Pods {
        /// The label selector.
        selector: String,
        /// `port`, of the pods or of their nodes.
        port: KubernetesPort,
    },
    /// `kubernetes … address=pod`, the default: the pods of a Service.
    Service {
        service: String,
        /// `port`, of the Service; its only one by default.
        port: Option<KubernetesPort>,
    },
}

/// The `port` of a `kubernetes` or `kubernetes_pods`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KubernetesPort {
    Name(String),
    Number(u16),
}

#[derive(Debug, thiserror::Error)]
enum KubernetesError {
    #[error("no namespace in \"{value}\", it must be NAMESPACE/{}", what.to_uppercase().replace(' ', "_"))]
    NoNamespace { what: &'static str, value: String },
    #[error("no \"port=\" in \"kubernetes_pods\" directive")]
    NoPodPort,
}

impl Kubernetes {
    /// The same wherever it is in the text.
    pub(crate) fn without_span(&self) -> Self {
        Self {
            span: Span::none(),
            ..self.clone()
        }
    }
}

impl<B: Has<Vec<Kubernetes>>> Directive<B> {
    pub(crate) const KUBERNETES: &'static [Self] = &[
        Self::simple("kubernetes", AtLeast(1), |block, statement, reader| {
            block.part().push(service(statement, reader)?);
            Ok(())
        }),
        Self::simple("kubernetes_pods", AtLeast(2), |block, statement, reader| {
            block.part().push(pods(statement, reader)?);
            Ok(())
        }),
    ];
}

/// `kubernetes NAMESPACE/SERVICE [port=NAME|NUMBER] [address=pod|node] [kubeconfig=FILE] [context=NAME]`
fn service(statement: &Statement, reader: &Reader<'_>) -> Result<Kubernetes, ConfigError> {
    let (namespace, service) = object(statement, "service")?;
    let mut parameters = Parameters::read(statement, reader, true)?;
    let port = parameters.port.take();
    let backends = if parameters.nodes {
        KubernetesBackends::Nodes { service, port }
    } else {
        KubernetesBackends::Service { service, port }
    };
    Ok(parameters.complete(namespace, backends, statement))
}

/// `kubernetes_pods NAMESPACE/SELECTOR port=NAME|NUMBER [kubeconfig=FILE] [context=NAME]`
fn pods(statement: &Statement, reader: &Reader<'_>) -> Result<Kubernetes, ConfigError> {
    let (namespace, selector) = object(statement, "label selector")?;
    let mut parameters = Parameters::read(statement, reader, false)?;
    let Some(port) = parameters.port.take() else {
        return Err(statement.error(KubernetesError::NoPodPort));
    };
    let backends = KubernetesBackends::Pods { selector, port };
    Ok(parameters.complete(namespace, backends, statement))
}

/// Splits the first argument at its first `/`: labels may have more of them.
fn object(statement: &Statement, what: &'static str) -> Result<(String, String), ConfigError> {
    match statement.arg().split_once('/') {
        Some((namespace, rest)) if !namespace.is_empty() && !rest.is_empty() => {
            Ok((namespace.to_owned(), rest.to_owned()))
        }
        _ => Err(statement.error(KubernetesError::NoNamespace {
            what,
            value: statement.arg().to_owned(),
        })),
    }
}

#[derive(Default)]
struct Parameters {
    port: Option<KubernetesPort>,
    nodes: bool,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl Parameters {
    fn read(
        statement: &Statement,
        reader: &Reader<'_>,
        has_address: bool,
    ) -> Result<Self, ConfigError> {
        let mut read = Self::default();
        for parameter in statement.parameters() {
            let invalid = || statement.invalid("parameter", parameter);
            let (name, value) = parameter.split_once('=').ok_or_else(invalid)?;
            match (name, value) {
                (_, "") => return Err(invalid()),
                ("address", "node") if has_address => read.nodes = true,
                ("address", "pod") if has_address => read.nodes = false,
                ("context", name) => read.context = Some(name.to_owned()),
                ("kubeconfig", file) => read.kubeconfig = Some(reader.files().resolve(file)),
                ("port", port) => read.port = Some(parse_port(port).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(read)
    }

    fn complete(
        self,
        namespace: String,
        backends: KubernetesBackends,
        statement: &Statement,
    ) -> Kubernetes {
        Kubernetes {
            namespace,
            backends,
            kubeconfig: self.kubeconfig,
            context: self.context,
            span: statement.span.clone(),
        }
    }
}

/// Parses a number, or what may be the name of a port: letters, digits and `-`.
fn parse_port(text: &str) -> Option<KubernetesPort> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().ok().filter(|number| *number != 0)?;
        return Some(KubernetesPort::Number(number));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.bytes()
        .all(fits)
        .then(|| KubernetesPort::Name(text.to_owned()))
}
