//! Objects and their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

/// The resource, the namespace and the name of an object.
pub(super) type Key = (String, String, String);

#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    history: Vec<Change>,
    version: u64,
    oldest: u64,
}

struct Change {
    version: u64,
    key: Key,
    old: Option<Arc<Value>>,
    new: Option<Arc<Value>>,
}

/// All objects as of some version.
pub struct Backup {
    objects: BTreeMap<Key, Arc<Value>>,
    version: u64,
}

/// The objects that a request is about. An empty namespace: those of all namespaces, and of none.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) name: Option<String>,
}

impl Scope {
    fn has(&self, (resource, namespace, name): &Key, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        *resource == self.resource
            && (self.namespace.is_empty() || *namespace == self.namespace)
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
            && self
                .labels
                .iter()
                .all(|(key, value)| label(key) == Some(value))
    }
}

impl Store {
    pub(super) fn put(&mut self, resource: &str, mut object: Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        let key = (resource.to_owned(), text("namespace"), text("name"));
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&object));
        self.record(key, old, Some(object));
    }

    pub(super) fn delete(&mut self, resource: &str, namespace: &str, name: &str) {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.version += 1;
        let old = self.objects.remove(&key).expect("an object to delete");
        self.record(key, Some(old), None);
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Value {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        Value::clone(self.objects.get(&key).expect("an object that exists"))
    }

    /// The object of a key, if it exists.
    pub(super) fn find(&self, key: &Key) -> Option<Value> {
        self.objects.get(key).map(|object| Value::clone(object))
    }

    /// All objects of a kind.
    pub(super) fn all(&self, resource: &str) -> Vec<Value> {
        let all = self.objects.iter().filter(|((of, ..), _)| of == resource);
        all.map(|(_, object)| Value::clone(object)).collect()
    }

    fn record(&mut self, key: Key, old: Option<Arc<Value>>, new: Option<Arc<Value>>) {
        let version = self.version;
        self.history.push(Change {
            version,
            key,
            old,
            new,
        });
    }

    pub(super) fn compact(&mut self) {
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
    }

    pub(super) fn backup(&self) -> Backup {
        Backup {
            objects: self.objects.clone(),
            version: self.version,
        }
    }

    /// Restores the objects and the version. Later changes vanish from the history, and new changes reuse their versions.
    pub(super) fn restore(&mut self, backup: &Backup) {
        self.objects.clone_from(&backup.objects);
        self.version = backup.version;
        self.oldest = self.oldest.min(backup.version);
        self.history
            .retain(|change| change.version <= backup.version);
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether the history since `version` is complete.
    pub(super) fn remembers(&self, version: u64) -> bool {
        version >= self.oldest
    }

    /// A page of at most `limit` objects after `after`, which is a namespace, a slash and a name, and whether there are more.
    pub(super) fn page(&self, scope: &Scope, after: &str, limit: usize) -> (Vec<Value>, bool) {
        let after = after.split_once('/').unwrap_or_default();
        let is_after = |key: &Key| (key.1.as_str(), key.2.as_str()) > after;
        let mut all = self
            .objects
            .iter()
            .filter(|(key, object)| scope.has(key, object) && is_after(key));
        let page: Vec<Value> = all
            .by_ref()
            .take(limit)
            .map(|(_, o)| Value::clone(o))
            .collect();
        (page, all.next().is_some())
    }

    /// The events after `version`, as the lines of a watch.
    pub(super) fn events(&self, scope: &Scope, version: u64) -> Vec<String> {
        let after = self.history.partition_point(|c| c.version <= version);
        let events = self.history[after..].iter().filter_map(|change| {
            let within = |object: &Option<Arc<Value>>| {
                let object = object.clone();
                object.filter(|object| scope.has(&change.key, object))
            };
            let (kind, object) = match (within(&change.old), within(&change.new)) {
                (None, None) => return None,
                (None, Some(new)) => ("ADDED", new),
                (Some(_), Some(new)) => ("MODIFIED", new),
                (Some(old), None) => ("DELETED", old),
            };
            let mut object = Value::clone(&object);
            object["metadata"]["resourceVersion"] = json!(change.version.to_string());
            Some(json!({"type": kind, "object": object}).to_string() + "\n")
        });
        events.collect()
    }
}
