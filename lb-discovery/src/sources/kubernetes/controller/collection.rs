//! The objects of a kind that a watch follows.

/// The objects of one kind: those of the whole cluster, or of one namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Collection {
    /// Such as `/apis/discovery.k8s.io/v1`.
    api: Box<str>,
    plural: Box<str>,
    namespace: Option<Box<str>>,
    labels: Option<Box<str>>,
}

impl Collection {
    /// All objects of the kind `plural` of the group and version at the path `api`, such as `/api/v1` and `services`.
    pub fn new(api: &str, plural: &str) -> Self {
        Self {
            api: api.trim_end_matches('/').into(),
            plural: plural.into(),
            namespace: None,
            labels: None,
        }
    }

    /// Limits the collection to a namespace. Default: all namespaces.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Box<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Limits the collection to the objects that a label selector selects. Default: all objects.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<Box<str>>) -> Self {
        self.labels = Some(selector.into());
        self
    }

    /// The plural name of the kind.
    pub fn plural(&self) -> &str {
        &self.plural
    }

    pub(crate) fn selector(&self) -> Option<&str> {
        self.labels.as_deref()
    }

    /// The path of its URL.
    pub(crate) fn path(&self) -> String {
        let Self { api, plural, .. } = self;
        match &self.namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
            None => format!("{api}/{plural}"),
        }
    }

    /// The namespace for messages.
    pub(crate) fn scope(&self) -> &str {
        self.namespace.as_deref().unwrap_or("all namespaces")
    }
}
