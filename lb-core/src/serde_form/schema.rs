//! The JSON schemas of the forms.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    DurationForm, OptionalDuration, OptionalPercent, OptionalPositive, Percent, Positive, Switch,
};

impl JsonSchema for DurationForm {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Numbers with their units (w, d, h, m, s, ms, us, ns), such as \"10s\", \"1h 30m\" or \"150ms\".",
            "type": "string",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*(w|d|h|m|s|ms|us|µs|ns)\s*)+$",
        })
    }
}

impl JsonSchema for OptionalDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OptionalDuration".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Switch::<DurationForm>::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Switch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Optional{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [settings, { "enum": [false, null] }] })
    }
}

impl<const MIN: u16, const MAX: u16> JsonSchema for Percent<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("PercentFrom{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: u16, const MAX: u16> JsonSchema for OptionalPercent<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OptionalPercentFrom{MIN}To{MAX}").into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Switch::<Percent<MIN, MAX>>::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Positive<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Positive{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        schema.insert("minimum".into(), 1.into());
        schema
    }
}

impl<T: JsonSchema> JsonSchema for OptionalPositive<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OptionalPositive{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Switch::<Positive<T>>::json_schema(generator)
    }
}
