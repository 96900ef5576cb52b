//! Digests of what is written.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// The time in a condition, which says nothing about the object.
const TIME: &str = "lastTransitionTime";

/// A digest of `status` without the times in it. Two statuses that say the same have the same one in this process.
pub(super) fn digest(status: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(status, &mut hasher);
    hasher.finish()
}

fn add(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Array(values) => {
            (b'[', values.len()).hash(hasher);
            values.iter().for_each(|value| add(value, hasher));
        }
        Value::Object(fields) => {
            (b'{', fields.len()).hash(hasher);
            for (name, value) in fields.iter().filter(|(name, _)| *name != TIME) {
                name.hash(hasher);
                add(value, hasher);
            }
        }
        scalar => scalar.to_string().hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_that_say_the_same_at_other_times_have_one_digest() {
        let status = |ip: &str, time: &str| json!({"ingress": [{"ip": ip}], "conditions": [{"type": "A", "lastTransitionTime": time}]});
        let one = digest(&status("192.0.2.1", "2026-01-01T00:00:00Z"));
        assert_eq!(digest(&status("192.0.2.1", "2026-01-02T00:00:00Z")), one);
        assert_ne!(digest(&status("192.0.2.2", "2026-01-01T00:00:00Z")), one);
        assert_ne!(digest(&json!([])), digest(&json!({})));
    }
}
