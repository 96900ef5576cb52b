//! Requests that read one object, or change one.
//!
//! As the real server does it: versions and UIDs are compared, a write that changes nothing does not move the version, server-side
//! apply knows the owner of each field of a status, and an object with finalizers stays until the last one is removed.
//!
//! Less than the real server: only what is written into a status, and Events, are validated (`validate`), and server-side apply is
//! for a status alone. There, `loadBalancer` is one field as a whole,
//! conditions are fields by their type, and every other field of the status is one field as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{failure, parameter, status};
use super::store::Key;
use super::{Request, State, validate};

/// Which manager owns which fields of a status.
pub(super) type Owners = BTreeMap<(Key, String), String>;

/// One object, or a part of it.
#[derive(Clone, Debug)]
pub(super) struct ObjectPath {
    pub(super) key: Key,
    /// Whether the path ends with `/status`.
    pub(super) is_status: bool,
}

/// The status and the text of the answer to a request for one object, or to a `POST`.
pub(super) fn exchange(
    state: &mut State,
    request: &Request,
    path: &ObjectPath,
    content: &str,
    body: &[u8],
) -> (u16, String) {
    let object: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let known = state.store.find(&path.key);
    let Some(known) = known else {
        return match request.method.as_str() {
            "POST" => {
                if let Some(refused) = refused(path, &object) {
                    return refused;
                }
                let mut created = object;
                let (_, namespace, _) = &path.key;
                if !namespace.is_empty() {
                    created["metadata"]["namespace"] = json!(namespace);
                }
                if !created["metadata"]["uid"].is_string() {
                    created["metadata"]["uid"] = json!(format!("uid-{}", path.key.2));
                    created["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
                }
                (201, save(state, &path.key.0, created))
            }
            _ => failure(
                404,
                "NotFound",
                &format!("{} {:?} not found", path.key.0, path.key.2),
            ),
        };
    };
    if let Some(conflict) = conflict(&known, &object, path) {
        return conflict;
    }
    let changed = match (request.method.as_str(), content) {
        ("GET", _) => return (200, known.to_string()),
        ("POST", _) => return failure(409, "AlreadyExists", "the object already exists"),
        ("DELETE", _) => {
            let mut deleted = known;
            deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            deleted
        }
        ("PUT", _) if path.is_status => with_status(known.clone(), object["status"].clone()),
        ("PUT", _) => object,
        ("PATCH", "application/apply-patch+yaml") if path.is_status => {
            let manager = parameter(request, "fieldManager").unwrap_or_default();
            let forces = parameter(request, "force").as_deref() == Some("true");
            match apply(
                &mut state.owners,
                path,
                &known,
                &object["status"],
                &manager,
                forces,
            ) {
                Ok(status) => with_status(known.clone(), status),
                Err(conflict) => return conflict,
            }
        }
        ("PATCH", "application/strategic-merge-patch+json") => {
            match finalizers(known.clone(), &object) {
                Ok(patched) => patched,
                Err(refused) => return refused,
            }
        }
        ("PATCH", "application/merge-patch+json") => {
            let mut merged = known.clone();
            merge(&mut merged, &object);
            merged
        }
        _ => return failure(415, "UnsupportedMediaType", content),
    };
    if let Some(refused) = refused(path, &changed) {
        return refused;
    }
    if state.store.find(&path.key).as_ref() == Some(&changed) {
        return (200, changed.to_string());
    }
    (200, save(state, &path.key.0, changed))
}

/// The answer to a write that is not valid.
fn refused(path: &ObjectPath, object: &Value) -> Option<(u16, String)> {
    let resource = path.key.0.as_str();
    let problem = match (resource, path.is_status) {
        ("events", _) => validate::refused_event(object),
        (_, true) => validate::refused_status(resource, object),
        (_, false) => None,
    };
    problem.map(|problem| failure(422, "Invalid", &problem))
}

/// Applies a status with force, as `manager`.
pub(super) fn apply_as(
    state: &mut State,
    (resource, namespace, name): (&str, &str, &str),
    manager: &str,
    wanted: &Value,
) {
    let path = ObjectPath {
        key: (resource.to_owned(), namespace.to_owned(), name.to_owned()),
        is_status: true,
    };
    let known = state.store.get(resource, namespace, name);
    let applied = apply(&mut state.owners, &path, &known, wanted, manager, true);
    let status = applied.expect("force meets no conflict");
    save(state, resource, with_status(known, status));
}

/// Stores `object`. One that is being deleted and has no finalizers is removed.
fn save(state: &mut State, resource: &str, object: Value) -> String {
    let metadata = &object["metadata"];
    let finalizers = metadata["finalizers"].as_array().map_or(0, Vec::len);
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let is_gone = metadata["deletionTimestamp"].is_string() && finalizers == 0;
    if is_gone {
        state.store.delete(resource, &namespace, &name);
        return object.to_string();
    }
    state.store.put(resource, object);
    state.store.get(resource, &namespace, &name).to_string()
}

/// The answer to a write that is based on another version of the object, or on another object of its name.
fn conflict(known: &Value, object: &Value, path: &ObjectPath) -> Option<(u16, String)> {
    ["uid", "resourceVersion"].into_iter().find_map(|field| {
        let wanted = object["metadata"][field].as_str()?;
        let differs = known["metadata"][field].as_str() != Some(wanted);
        let name = &path.key.2;
        let message = format!(
            "Operation cannot be fulfilled on {name:?}: the object has been modified ({field})"
        );
        differs.then(|| failure(409, "Conflict", &message))
    })
}

fn with_status(mut object: Value, status: Value) -> Value {
    object["status"] = status;
    object
}

/// The fields of a status, each with its value.
fn fields(status: &Value) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    for (name, value) in status.as_object().into_iter().flatten() {
        match value.as_array() {
            Some(conditions) if name == "conditions" => {
                for condition in conditions {
                    let kind = condition["type"].as_str().unwrap_or_default();
                    fields.insert(format!("conditions/{kind}"), condition.clone());
                }
            }
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    fields
}

/// The status after server-side apply.
fn apply(
    owners: &mut Owners,
    path: &ObjectPath,
    known: &Value,
    wanted: &Value,
    manager: &str,
    forces: bool,
) -> Result<Value, (u16, String)> {
    let (mut current, wanted) = (fields(&known["status"]), fields(wanted));
    let owner =
        |owners: &Owners, field: &str| owners.get(&(path.key.clone(), field.to_owned())).cloned();
    for (field, value) in &wanted {
        let other = owner(owners, field).filter(|other| other != manager);
        if let Some(other) = other
            && current.get(field) != Some(value)
            && !forces
        {
            let message =
                format!("Apply failed with 1 conflict: conflict with {other:?}: .status.{field}");
            let mut status = status(409, "Conflict", &message);
            status["details"] =
                json!({"causes": [{"reason": "FieldManagerConflict", "field": field}]});
            return Err((409, status.to_string()));
        }
    }
    let own = |(key, field): &(Key, String), of: &String| {
        *key == path.key && of == manager && !wanted.contains_key(field)
    };
    let removed: Vec<_> = owners
        .iter()
        .filter(|(place, of)| own(place, of))
        .map(|(place, _)| place.clone())
        .collect();
    for place in removed {
        current.remove(&place.1);
        owners.remove(&place);
    }
    for (field, value) in wanted {
        owners.insert((path.key.clone(), field.clone()), manager.to_owned());
        current.insert(field, value);
    }
    Ok(joined(current))
}

fn joined(fields: BTreeMap<String, Value>) -> Value {
    let mut status = Map::new();
    for (field, value) in fields {
        match field.strip_prefix("conditions/") {
            None => drop(status.insert(field, value)),
            Some(_) => {
                let conditions = status.entry("conditions").or_insert_with(|| json!([]));
                conditions.as_array_mut().unwrap().push(value);
            }
        }
    }
    Value::Object(status)
}

/// Adds and removes finalizers by a strategic merge patch.
fn finalizers(mut object: Value, patch: &Value) -> Result<Value, (u16, String)> {
    let names = |field: &str| {
        patch["metadata"][field]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let (added, removed) = (
        names("finalizers"),
        names("$deleteFromPrimitiveList/finalizers"),
    );
    let mut all = object["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let new: Vec<_> = added
        .into_iter()
        .filter(|name| !all.contains(name))
        .collect();
    if !new.is_empty() && object["metadata"]["deletionTimestamp"].is_string() {
        return Err(failure(
            422,
            "Invalid",
            "no new finalizers can be added if the object is being deleted",
        ));
    }
    all.extend(new);
    all.retain(|name| !removed.contains(name));
    object["metadata"]["finalizers"] = json!(all);
    Ok(object)
}

/// A JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (field, value) in patch {
        match value.is_null() {
            true => drop(target.remove(field)),
            false => merge(target.entry(field).or_insert(Value::Null), value),
        }
    }
}
