//! The JSON schema, the list of settings and the example.

use std::fmt::Write;
use std::path::Path;

use lb_proxy::settings_file::ProxySettings;
use serde_json::Value;

use crate::{read, round_trip};

const EXAMPLE: &str = include_str!("../../docs/settings.example.yaml");

fn schema() -> Value {
    schemars::schema_for!(ProxySettings).to_value()
}

/// Compares the file of `docs/` with `text`, or writes it with `LB_WRITE_SETTINGS=1`.
#[track_caller]
fn same_file(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    if std::env::var_os("LB_WRITE_SETTINGS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/{name} is not what the types say: run this test with LB_WRITE_SETTINGS=1"
    );
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    same_file("settings.schema.json", &format!("{text}\n"));
}

#[test]
fn the_example_is_valid_and_builds_a_proxy() {
    let settings: ProxySettings = read(EXAMPLE);
    round_trip(&settings);
    settings.build().unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for value in [
        read::<Value>(EXAMPLE),
        serde_json::to_value(&settings).unwrap(),
        serde_json::to_value(ProxySettings::default()).unwrap(),
    ] {
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    for wrong in [
        "{upstream: {}}",
        "{drain_timeout: 10}",
        "{drain_timeout: true}",
        "{upstreams: {a: {sources: [{static: [{addr: '10.0.0.1:1', weigth: 1}]}]}}}",
        "{upstreams: {a: {sources: [], policy: fastest}}}",
        "{upstreams: {a: {sources: [], policy: {maglev: {}, p2c: {}}}}}",
        "{upstreams: {a: {sources: [], balancer: {panic_threshold: 101}}}}",
        "{listeners: [{upstream: a}]}",
        "{listeners: [{listen: '[::]:446', upstream: a, limits: {rate: fast}}]}",
    ] {
        assert!(!validator.is_valid(&read(wrong)), "{wrong}");
        serde_saphyr::from_str::<ProxySettings>(wrong).unwrap_err();
    }
}

#[test]
fn the_list_has_every_setting() {
    let mut list = String::from(
        "# Settings of a proxy\n\nAll that a file can say: `lb_proxy::settings_file::ProxySettings`. The list is written from the \
         types, by the test `settings_form`.\n`settings.schema.json` says the same to editors, and `settings.example.yaml` is an \
         example.\n\n- Times have units: `150ms`, `10s`, `1h 30m`. Sizes are numbers of bytes, or have units: `64KiB`, `10MB`.\n- `false` \
         switches off what can be off.\n- A setting without a default has to be there.\n- The sources are those of a program with the features `dns`, \
         `file`, `kubernetes` and `system-dns`.\n",
    );
    let schema = schema();
    let all = Definitions(&schema["$defs"]);
    all.section(&mut list, "The proxy", &schema);
    for (name, schema) in all.0.as_object().unwrap() {
        if has_section(schema) {
            all.section(&mut list, &format!("`{name}`"), schema);
        }
    }
    same_file("settings.md", &list);
}

/// Whether a type has a table of its own.
fn has_section(schema: &Value) -> bool {
    schema.get("properties").is_some() || schema.get("oneOf").is_some()
}

struct Definitions<'a>(&'a Value);

impl Definitions<'_> {
    fn section(&self, list: &mut String, title: &str, schema: &Value) {
        let about = first_paragraph(schema);
        write!(list, "\n## {title}\n\n{about}\n\n").unwrap();
        if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
            list.push_str("| choice | meaning |\n|---|---|\n");
            for choice in choices {
                self.choice_rows(list, choice);
            }
            return;
        }
        list.push_str("| setting | value | default | meaning |\n|---|---|---|---|\n");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, setting) in schema["properties"].as_object().into_iter().flatten() {
            let default = match setting.get("default") {
                _ if required.contains(&Value::from(name.as_str())) => "must be there".to_owned(),
                Some(Value::Object(map)) if map.is_empty() => "none".to_owned(),
                Some(Value::Object(_)) => "all at their defaults".to_owned(),
                Some(Value::String(text)) if text.is_empty() => "none".to_owned(),
                Some(default) => format!("`{}`", shown(default)),
                None => String::new(),
            };
            let (value, about) = (self.kind(setting), first_paragraph(setting));
            writeln!(list, "| `{name}` | {value} | {default} | {about} |").unwrap();
        }
    }

    fn choice_rows(&self, list: &mut String, choice: &Value) {
        let about = first_paragraph(choice);
        let names = choice["enum"].as_array().cloned().unwrap_or_default();
        for name in names.iter().chain(choice.get("const")) {
            writeln!(list, "| `{}` | {about} |", shown(name)).unwrap();
        }
        for (name, setting) in choice["properties"].as_object().into_iter().flatten() {
            let value = match setting.get("properties") {
                Some(inner) => format!("{{ {} }}", self.fields(inner)),
                None => self.kind(setting),
            };
            writeln!(list, "| `{name}:` {value} | {about} |").unwrap();
        }
    }

    fn fields(&self, properties: &Value) -> String {
        let fields = properties.as_object().into_iter().flatten();
        let fields = fields.map(|(name, setting)| format!("`{name}:` {}", self.kind(setting)));
        Vec::from_iter(fields).join(", ")
    }

    /// What is written as the value of a setting.
    fn kind(&self, setting: &Value) -> String {
        if let Some(name) = setting["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            return match name {
                "Duration" => "time".to_owned(),
                "ByteSize" => "size".to_owned(),
                "ByteRate" => "bytes a second".to_owned(),
                "Endpoint" => "address".to_owned(),
                name if has_section(&self.0[name]) => {
                    format!("[`{name}`](#{})", name.to_lowercase())
                }
                name => self.kind(&self.0[name]),
            };
        }
        if let Some(choices) = setting["anyOf"].as_array() {
            let kinds = choices.iter().map(|choice| match choice.get("properties") {
                Some(named) => format!("one of {}", self.fields(named)),
                None => self.kind(choice),
            });
            let kinds = kinds.filter(|kind| !kind.is_empty());
            return Vec::from_iter(kinds).join(", ");
        }
        if let Some(values) = setting["enum"].as_array() {
            let values = values.iter().filter(|value| !value.is_null());
            let values = values.map(|value| format!("`{}`", shown(value)));
            return Vec::from_iter(values).join(", ");
        }
        if let Some(items) = setting.get("items") {
            return format!("list of {}", self.kind(items));
        }
        let values = setting.get("additionalProperties");
        if let Some(values) = values.filter(|values| values.is_object()) {
            return format!("name: {}", self.kind(values));
        }
        let types = match &setting["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => Vec::from_iter(one.as_str()),
        };
        let words = types.into_iter().filter_map(|name| match name {
            "boolean" => Some("`true`, `false`"),
            "integer" => Some("number"),
            "number" => Some("decimal number"),
            "null" => None,
            "string" => Some("text"),
            "object" => Some("settings"),
            _ => Some("list"),
        });
        Vec::from_iter(words).join(", ")
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first paragraph of a description on one line of a table, without the links of rustdoc: `[text](path)` and `[text]`.
fn first_paragraph(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let (mut plain, mut in_code) = (String::new(), false);
    let mut rest = paragraph.chars();
    while let Some(next) = rest.next() {
        in_code ^= next == '`';
        match next {
            '[' if !in_code => {}
            ']' if !in_code => {
                if let Some(target) = rest.as_str().strip_prefix('(') {
                    rest = target.split_once(')').map_or("", |(_, rest)| rest).chars();
                }
            }
            '\n' => plain.push(' '),
            '|' => plain.push_str("\\|"),
            other => plain.push(other),
        }
    }
    plain
}
