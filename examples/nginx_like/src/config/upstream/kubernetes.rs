//! `kubernetes` and `kubernetes_pods` of an `upstream` block. nginx has neither.

use crate::config::{Kubernetes, KubernetesBackends, KubernetesPort};
use crate::syntax::directive::Line;
use crate::syntax::error::{ConfigError, ErrorKind};
use crate::syntax::reader::Reader;

/// `kubernetes NAMESPACE/SERVICE [port=NAME|NUMBER] [address=pod|node] [kubeconfig=FILE] [context=NAME]`
pub(crate) fn service(line: &Line, reader: &Reader<'_>) -> Result<Kubernetes, ConfigError> {
    let (namespace, service) = object(line, "service")?;
    let mut raw = Parameters::default();
    raw.read(line, reader, true)?;
    let port = raw.port.take();
    let backends = if raw.nodes {
        KubernetesBackends::Nodes { service, port }
    } else {
        KubernetesBackends::Service { service, port }
    };
    Ok(raw.finish(namespace, backends, line))
}

/// `kubernetes_pods NAMESPACE/SELECTOR port=NAME|NUMBER [kubeconfig=FILE] [context=NAME]`
pub(crate) fn pods(line: &Line, reader: &Reader<'_>) -> Result<Kubernetes, ConfigError> {
    let (namespace, selector) = object(line, "label selector")?;
    let mut raw = Parameters::default();
    raw.read(line, reader, false)?;
    let Some(port) = raw.port.take() else {
        return Err(line.error(ErrorKind::NoPodPort));
    };
    let backends = KubernetesBackends::Pods { selector, port };
    Ok(raw.finish(namespace, backends, line))
}

/// Splits the first argument. Only the part before the first `/` is the namespace: labels may have more of them.
fn object(line: &Line, what: &'static str) -> Result<(String, String), ConfigError> {
    match line.arg().split_once('/') {
        Some((namespace, rest)) if !namespace.is_empty() && !rest.is_empty() => {
            Ok((namespace.to_owned(), rest.to_owned()))
        }
        _ => Err(line.error(ErrorKind::NoNamespace {
            what,
            value: line.arg().to_owned(),
        })),
    }
}

#[derive(Default)]
struct Parameters {
    port: Option<KubernetesPort>,
    nodes: bool,
    kubeconfig: Option<std::path::PathBuf>,
    context: Option<String>,
}

impl Parameters {
    fn read(
        &mut self,
        line: &Line,
        reader: &Reader<'_>,
        has_address: bool,
    ) -> Result<(), ConfigError> {
        for parameter in line.parameters() {
            let invalid = || line.invalid("parameter", parameter);
            let (name, value) = parameter.split_once('=').ok_or_else(invalid)?;
            match (name, value) {
                (_, "") => return Err(invalid()),
                ("address", "node") if has_address => self.nodes = true,
                ("address", "pod") if has_address => self.nodes = false,
                ("context", name) => self.context = Some(name.to_owned()),
                ("kubeconfig", file) => self.kubeconfig = Some(reader.files().resolve(file)),
                ("port", port) => self.port = Some(parse_port(port).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(())
    }

    fn finish(self, namespace: String, backends: KubernetesBackends, line: &Line) -> Kubernetes {
        Kubernetes {
            namespace,
            backends,
            kubeconfig: self.kubeconfig,
            context: self.context,
            span: line.span.clone(),
        }
    }
}

/// A number, or what may be the name of a port: letters, digits and `-`.
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
