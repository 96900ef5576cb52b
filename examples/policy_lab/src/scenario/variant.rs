//! Variants: policies with settings, under labels.

use std::sync::Arc;

use lb_core::policy::{PolicyKind, PolicySettings, RingHash};
use lb_core::{BalancerConfig, Policy};
use toml::Spanned;

use super::balancer::{Given, over};
use super::file::VariantTable;
use super::problem::{Problem, problem};

/// Bounds the length of a page.
const MAX_VARIANTS: usize = 20;
/// Bounds memory; the same bound as ring hash has.
const MAX_POINTS: u32 = RingHash::MAX_SIZE;

/// A policy, its settings and the settings of the balancer, under a label.
#[derive(Clone, Debug)]
pub struct Variant {
    pub(crate) label: String,
    pub(crate) policy: Arc<dyn Policy>,
    /// The settings of the policy, in the words of the file.
    pub(crate) settings: Vec<String>,
    pub(crate) config: BalancerConfig,
}

impl Variant {
    /// A policy with its defaults. Its name is the label.
    pub(super) fn plain(policy: Arc<dyn Policy>, config: BalancerConfig) -> Self {
        Self {
            label: policy.name().to_owned(),
            policy,
            settings: Vec::new(),
            config,
        }
    }

    /// The name on the page.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// The variants of a file. `base` has the settings of the balancer that a variant leaves out, `given` the names of those that
/// each gives.
pub(super) fn variants(
    tables: Vec<VariantTable>,
    base: &BalancerConfig,
    given: &[Given],
) -> Result<Vec<Variant>, Problem> {
    let mut variants: Vec<Variant> = Vec::new();
    for (i, table) in tables.into_iter().enumerate() {
        let label = checked_label(&table.label, &variants)?;
        if variants.len() == MAX_VARIANTS {
            let message = format!("use at most {MAX_VARIANTS} variants");
            return problem(table.label.span(), message);
        }
        let config = match (&table.balancer, given.get(i)) {
            (Some(own), Some(given)) => over(base, own.get_ref(), given),
            _ => base.clone(),
        };
        variants.push(Variant {
            label,
            policy: checked(&table.policy)?,
            settings: settings(table.policy.get_ref()),
            config,
        });
    }
    Ok(variants)
}

fn checked_label(label: &Spanned<String>, others: &[Variant]) -> Result<String, Problem> {
    let (span, label) = (label.span(), label.get_ref());
    let is_long = label.chars().count() > 32;
    if label.trim().is_empty() || is_long || label.contains(char::is_control) {
        return problem(span, "a label has 1 to 32 characters on one line");
    }
    let taken = if label.parse::<PolicyKind>().is_ok() {
        "a policy with its defaults"
    } else if others.iter().any(|other| other.label == *label) {
        "another variant"
    } else {
        return Ok(label.clone());
    };
    let message = format!("\"{label}\" is the name of {taken} already: choose another label");
    problem(span, message)
}

/// Checks that the policy takes bounded memory.
fn checked(policy: &Spanned<PolicySettings>) -> Result<Arc<dyn Policy>, Problem> {
    let built = policy.get_ref().build();
    let points = built
        .settings()
        .into_iter()
        .find(|(name, _)| *name == "max_points");
    let points = points.and_then(|(_, points)| points.parse::<u32>().ok());
    if points.is_some_and(|points| points > MAX_POINTS) {
        return problem(policy.span(), format!("use at most {MAX_POINTS} points"));
    }
    Ok(built)
}

/// The settings of the policy that differ from its defaults, in the words of the file.
fn settings(policy: &PolicySettings) -> Vec<String> {
    let defaults = policy.kind().build().settings();
    let own = policy.build().settings().into_iter();
    let differs = own.filter(|setting| !defaults.contains(setting));
    differs
        .map(|(name, value)| format!("{name} = {}", value.trim_end_matches('%')))
        .collect()
}
