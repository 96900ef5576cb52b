//! The command line.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use lb_core::policy::PolicyKind;

use crate::page::{PageError, page, picture};
use crate::report;
use crate::scenario::{Scenario, ScenarioError, Variant};
use crate::sim::{Run, simulate_variant};

/// Simulates backends under load-balancing policies and writes a page that compares them.
///
/// Without arguments it runs every built-in scenario. A scenario file is TOML; the documentation of the library's
/// `Scenario` describes it, and --print writes one that is built in, to start from.
///
/// A scenario with variants (policies with settings, under labels) runs under these, and for comparison under the
/// policies of --policies with their defaults. A scenario without variants runs under the policies of --policies, or
/// all. The settings of the scenario's [balancer] apply to all of them.
#[derive(Debug, Parser)]
#[command(name = "policy_lab", version)]
struct Arguments {
    /// Scenarios to run: built-in names or files
    #[arg(value_name = "SCENARIO|FILE")]
    scenarios: Vec<String>,

    /// Policies to compare with their defaults, as names separated by commas; variants of the scenario are
    /// added [default: none if there are variants, else all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policies: Vec<PolicyKind>,

    /// The seed of all randomness
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Where to write the page
    #[arg(long, value_name = "FILE", default_value = "policy_lab.html")]
    out: PathBuf,

    /// Also writes a picture (SVG) of the latencies of each policy, of the only scenario
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Lists the scenarios and the policies, and exits
    #[arg(long)]
    list: bool,

    /// Writes the text of a built-in scenario, and exits
    #[arg(long, value_name = "SCENARIO", conflicts_with_all = ["list", "scenarios"])]
    print: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{0}: {source}", source = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Page(#[from] PageError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("no built-in scenario is called \"{0}\": choose one of {known}", known = Scenario::known())]
    Unknown(String),
    #[error("--svg draws one scenario: name it, such as: policy_lab slow-node --svg {}", .0.display())]
    Several(PathBuf),
    #[error("{}: {source}: choose another place with {option}", path.display())]
    Write {
        option: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.print {
        Some(name) => print(name),
        None if arguments.list => list(),
        None => compare(arguments),
    };
    match done {
        Ok(text) => {
            // A closed stdout is not an error.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "policy_lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<String, CommandError> {
    let mut text = "scenarios:\n".to_owned();
    for name in Scenario::builtin_names() {
        let scenario = Scenario::load(name)?;
        text.push_str(&format!("  {name:<16} {}\n", scenario.description()));
    }
    text.push_str("policies:\n");
    for kind in PolicyKind::ALL {
        text.push_str(&format!("  {kind}\n"));
    }
    Ok(text)
}

fn print(name: &str) -> Result<String, CommandError> {
    let text = Scenario::builtin_text(name).map(str::to_owned);
    text.ok_or_else(|| CommandError::Unknown(name.to_owned()))
}

fn compare(arguments: Arguments) -> Result<String, CommandError> {
    let mut names = arguments.scenarios;
    if names.is_empty() {
        names.extend(Scenario::builtin_names().map(str::to_owned));
    }
    if let Some(svg) = &arguments.svg
        && names.len() > 1
    {
        return Err(CommandError::Several(svg.clone()));
    }
    let scenarios: Vec<Scenario> = names
        .iter()
        .map(|name| Scenario::load(name))
        .collect::<Result<_, _>>()?;
    let mut text = String::new();
    let mut results = Vec::new();
    for scenario in scenarios {
        let runs = all(
            &scenario,
            &variants(&scenario, &arguments.policies),
            arguments.seed,
        );
        text.push_str(&report::table(scenario.title(), &runs));
        results.push((scenario, runs));
    }
    text.push_str(
        "\n* many keys move without a change: the policy ignores keys, or reads the load as well\n",
    );
    let html = page(arguments.seed, &results)?;
    write(&mut text, "--out", arguments.out, &html)?;
    if let (Some(path), [(scenario, runs)]) = (arguments.svg, &results[..]) {
        write(&mut text, "--svg", path, &picture(scenario, runs)?)?;
    }
    Ok(text)
}

/// Writes a file that `option` places, and adds to `text` that it did.
fn write(
    text: &mut String,
    option: &'static str,
    path: PathBuf,
    content: &str,
) -> Result<(), CommandError> {
    match fs::write(&path, content) {
        Ok(()) => text.push_str(&format!("wrote {}\n", path.display())),
        Err(source) => {
            return Err(CommandError::Write {
                option,
                path,
                source,
            });
        }
    }
    Ok(())
}

/// The variants to run `scenario` under: each policy of `named` once, then the variants of the scenario. All policies
/// if both are empty.
fn variants(scenario: &Scenario, named: &[PolicyKind]) -> Vec<Variant> {
    let policies = if named.is_empty() && scenario.variants().is_empty() {
        &PolicyKind::ALL
    } else {
        named
    };
    let mut seen = HashSet::new();
    let once = policies.iter().filter(|policy| seen.insert(**policy));
    let plain = once.map(|policy| scenario.plain(policy.build()));
    plain.chain(scenario.variants().iter().cloned()).collect()
}

/// A run for each variant, in their order. Each run has its own thread.
fn all(scenario: &Scenario, variants: &[Variant], seed: u64) -> Vec<Run> {
    thread::scope(|scope| {
        let running: Vec<_> = variants
            .iter()
            .map(|variant| scope.spawn(|| simulate_variant(scenario, variant, seed)))
            .collect();
        running
            .into_iter()
            .map(|run| {
                run.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
