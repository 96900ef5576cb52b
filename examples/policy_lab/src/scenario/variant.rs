//! Variants: policies with settings, under labels.

use std::fmt;
use std::sync::Arc;

use lb_core::policy::{
    BalanceFactor, Ketama, Maglev, PolicyKind, Rendezvous, RingHash, UnknownPolicy,
};
use lb_core::{BalancerConfig, Policy};
use toml::Spanned;

use super::file::{Setting, VariantTable};
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

/// The variants of a file. `base` has the settings of the balancer that a variant leaves out.
pub(super) fn variants(
    tables: Vec<VariantTable>,
    base: &BalancerConfig,
) -> Result<Vec<Variant>, Problem> {
    let mut variants: Vec<Variant> = Vec::new();
    for table in tables {
        let label = checked_label(&table.label, &variants)?;
        if variants.len() == MAX_VARIANTS {
            let message = format!("use at most {MAX_VARIANTS} variants");
            return problem(table.label.span(), message);
        }
        let given = given(&table);
        variants.push(Variant {
            label,
            policy: policy(&table, &given)?,
            settings: given.iter().map(Given::to_string).collect(),
            config: table.balancer.over(base),
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

/// A setting of a table, and the policies that have it.
struct Given<'a> {
    name: &'static str,
    of: &'static [PolicyKind],
    value: &'a Spanned<u32>,
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name, self.value.get_ref())
    }
}

fn given(table: &VariantTable) -> Vec<Given<'_>> {
    use PolicyKind::{Ketama, Maglev, Rendezvous, RingHash};
    let settings: [(_, &[_], &Setting); 5] = [
        (
            "balance_factor",
            &[Ketama, Maglev, Rendezvous, RingHash],
            &table.balance_factor,
        ),
        ("max_points", &[Ketama], &table.max_points),
        ("maximum_ring_size", &[RingHash], &table.maximum_ring_size),
        ("minimum_ring_size", &[RingHash], &table.minimum_ring_size),
        ("table_size", &[Maglev], &table.table_size),
    ];
    let given = settings.into_iter().filter_map(|(name, of, value)| {
        let value = value.as_ref()?;
        Some(Given { name, of, value })
    });
    given.collect()
}

fn policy(table: &VariantTable, given: &[Given<'_>]) -> Result<Arc<dyn Policy>, Problem> {
    let name = &table.policy;
    let kind: PolicyKind = name
        .get_ref()
        .parse()
        .or_else(|error: UnknownPolicy| problem(name.span(), error.to_string()))?;
    if let Some(other) = given.iter().find(|setting| !setting.of.contains(&kind)) {
        let owners: Vec<_> = other.of.iter().map(ToString::to_string).collect();
        let message = format!(
            "\"{}\" belongs to {}: remove it, or change the policy",
            other.name,
            owners.join(", ")
        );
        return problem(other.value.span(), message);
    }
    let factor = factor(&table.balance_factor)?;
    Ok(match kind {
        PolicyKind::Ketama => Arc::new(ketama(&table.max_points)?.balance_factor(factor)),
        PolicyKind::Maglev => Arc::new(maglev(&table.table_size)?.balance_factor(factor)),
        PolicyKind::Rendezvous => Arc::new(Rendezvous::new().balance_factor(factor)),
        PolicyKind::RingHash => Arc::new(ring_hash(table)?.balance_factor(factor)),
        kind => kind.build(),
    })
}

fn value(setting: &Setting, default: u32) -> u32 {
    setting.as_ref().map_or(default, |value| *value.get_ref())
}

fn factor(setting: &Setting) -> Result<BalanceFactor, Problem> {
    let Some(value) = setting else {
        return Ok(BalanceFactor::NONE);
    };
    match u16::try_from(*value.get_ref()) {
        Ok(percent) if percent == 0 || percent > 100 => Ok(BalanceFactor::percent(percent)),
        _ => problem(
            value.span(),
            "a balance factor is 0 for no bound, or a percentage from 101 to 65535; 125 to 200 are usual",
        ),
    }
}

fn ketama(setting: &Setting) -> Result<Ketama, Problem> {
    match setting {
        Some(points) if *points.get_ref() > MAX_POINTS => {
            problem(points.span(), format!("use at most {MAX_POINTS} points"))
        }
        _ => Ok(Ketama::new().max_points(value(setting, Ketama::DEFAULT_MAX_POINTS))),
    }
}

fn maglev(setting: &Setting) -> Result<Maglev, Problem> {
    let Some(size) = setting else {
        return Ok(Maglev::new());
    };
    Maglev::try_new(*size.get_ref()).or_else(|error| {
        let mut above = *size.get_ref()..Maglev::MAX_TABLE_SIZE;
        let prime = above.find(|n| Maglev::try_new(*n).is_ok());
        let near = prime.unwrap_or(Maglev::MAX_TABLE_SIZE);
        problem(size.span(), format!("{error}, such as {near}"))
    })
}

fn ring_hash(table: &VariantTable) -> Result<RingHash, Problem> {
    let (least, most) = (&table.minimum_ring_size, &table.maximum_ring_size);
    let sizes = RingHash::try_new(
        value(least, RingHash::DEFAULT_MIN_SIZE),
        value(most, RingHash::MAX_SIZE),
    );
    sizes.or_else(|error| {
        let wrong = most.as_ref().or(least.as_ref());
        let message = format!("{error}, and the minimum may not be above the maximum");
        problem(wrong.map_or(0..0, Spanned::span), message)
    })
}
