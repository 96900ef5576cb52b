//! Looks up the names of variables, and derives what their values depend on.

use std::sync::Arc;

use super::builtin::{self, Builtin, Read, Source};
use super::context::Context;
use super::definitions::{Defined, Definitions};
use super::error::VariableError;
use super::id::VariableId;
use super::output::ValueOutput;
use super::table::{Definition, Kind, Traits, Variable, Variables};
use crate::syntax::error::ConfigError;
use crate::syntax::names::Names;
use crate::syntax::span::{Span, Warning};

/// Looks up the `names` that values use. Adds an error for each use of a name that nothing defines, unless `knows_all` is
/// false: then definitions are missing because of other mistakes. Adds a warning for each use of a variable that never has a
/// value.
pub(crate) fn link(
    names: Names,
    definitions: &Definitions,
    knows_all: bool,
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Variables {
    let used = names.into_used().into_iter();
    let list = used.map(|used| {
        if is_absent(&used.name, definitions) {
            let name = &used.name;
            let text = format!(
                "\"${name}\" has no value: TLS is not ended here; \"ssl_preread\" has what the client's first message says"
            );
            let of = |span: &Span| Warning::new(text.clone(), span.clone());
            warnings.extend(used.uses.iter().map(of));
        }
        let kind = find(&used.name, definitions).unwrap_or_else(|error| {
            if knows_all {
                let of = |span| ConfigError::at(span, error.clone());
                errors.extend(used.uses.iter().map(of));
            }
            Kind::Stored { or_empty: false }
        });
        Variable {
            is_assigned: definitions.is_assigned(&used.name),
            name: used.name,
            kind,
            slot: None,
            kept: None,
            traits: Traits::default(),
        }
    });
    let mut variables = Variables {
        list: list.collect(),
        slots: 0,
        kept: 0,
    };
    derive_traits(&mut variables.list);
    assign_slots(&mut variables);
    keep_shared(&mut variables);
    variables
}

/// Whether `name` is a built-in variable that never has a value.
fn is_absent(name: &str, definitions: &Definitions) -> bool {
    let builtin = builtin::named(name).filter(|_| definitions.get(name).is_none());
    builtin.is_some_and(|builtin| builtin.source == Source::Absent)
}

/// What a name means. A definition takes precedence over the beginning of a built-in name, as in nginx.
fn find(name: &str, definitions: &Definitions) -> Result<Kind, VariableError> {
    Ok(match definitions.get(name) {
        Some(Defined::By(definition)) => Kind::Defined(Arc::clone(definition)),
        Some(Defined::ByCapture) => Kind::Stored { or_empty: false },
        Some(Defined::BySet) => Kind::Stored { or_empty: true },
        None => {
            let (builtin, rest) = builtin::find(name)?;
            let rest = rest.into();
            Kind::Defined(Arc::new(LinkedBuiltin { builtin, rest }))
        }
    })
}

/// A built-in variable, and the rest of the name if the table has its beginning.
#[derive(Debug)]
struct LinkedBuiltin {
    builtin: &'static Builtin,
    rest: Box<str>,
}

impl Definition for LinkedBuiltin {
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()> {
        match self.builtin.read {
            Read::Whole(read) => read(context, out),
            Read::Rest(read) => read(context, &self.rest, out),
        }
    }

    fn variables(&self) -> Vec<VariableId> {
        Vec::new()
    }

    fn traits(&self) -> Traits {
        Traits {
            first_bytes: self.builtin.source == Source::FirstBytes,
            course: self.builtin.reads_course,
            changes: matches!(self.builtin.source, Source::Clock | Source::End),
            captures: false,
            volatile: true,
        }
    }
}

/// Propagates what variables depend on. Takes as many rounds as the longest chain of variables has links.
fn derive_traits(list: &mut [Variable]) {
    for variable in &mut *list {
        variable.traits = match &variable.kind {
            Kind::Defined(definition) => definition.traits(),
            // What fills it in may have read them.
            Kind::Stored { .. } => Traits {
                first_bytes: true,
                course: true,
                ..Traits::default()
            },
        };
        variable.traits.first_bytes |= variable.is_assigned;
        variable.traits.course |= variable.is_assigned;
    }
    let mut is_stable = false;
    while !is_stable {
        is_stable = true;
        for i in 0..list.len() {
            let Kind::Defined(definition) = &list[i].kind else {
                continue;
            };
            let mut traits = list[i].traits;
            for id in definition.variables() {
                let of = list[id.0].traits;
                traits.first_bytes |= of.first_bytes;
                traits.course |= of.course;
                traits.changes |= of.changes;
                traits.captures |= of.captures;
            }
            is_stable &= list[i].traits == traits;
            list[i].traits = traits;
        }
    }
}

/// A session stores what `set` and captures fill in, and the first value of what could change.
fn assign_slots(variables: &mut Variables) {
    for variable in &mut variables.list {
        let Traits {
            changes,
            captures,
            volatile,
            ..
        } = variable.traits;
        let is_filled_in = variable.is_assigned || matches!(variable.kind, Kind::Stored { .. });
        if is_filled_in || (!volatile && (changes || captures)) {
            variable.slot = Some(variables.slots);
            variables.slots += 1;
        }
    }
}

/// A context keeps the value of a definition that needs other definitions and that several of them need. Each other
/// definition is evaluated by one, so the time grows with the number of definitions, not with that of the paths through them.
fn keep_shared(variables: &mut Variables) {
    let list = &variables.list;
    let mut uses = vec![0_usize; list.len()];
    let mut is_nested = vec![false; list.len()];
    for (i, variable) in list.iter().enumerate() {
        let Kind::Defined(definition) = &variable.kind else {
            continue;
        };
        for id in definition.variables() {
            uses[id.0] += 1;
            let needed = &list[id.0].kind;
            // A built-in variable needs none, and a stored one is computed elsewhere.
            is_nested[i] |=
                matches!(needed, Kind::Defined(needed) if !needed.variables().is_empty());
        }
    }
    for (i, variable) in variables.list.iter_mut().enumerate() {
        let is_evaluated = variable.slot.is_none() && !variable.traits.volatile;
        if is_evaluated && is_nested[i] && uses[i] > 1 {
            variable.kept = Some(variables.kept);
            variables.kept += 1;
        }
    }
}
