//! Runs a case.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::balancer::{Balancer, Program};
use crate::case::{Case, PlaceKind};
use crate::client::{Seen, ask_all};
use crate::pattern::matches;
use crate::places::Places;
use crate::step::{Action, Expected, Step};
use crate::stub::Stub;

/// How long a state may take to come about. Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a case without an error.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed,
    /// It did not run to its end.
    Left(String),
}

/// Runs a case by `program`. A pending case must fail.
pub(crate) async fn run(case: &Case, program: &Program) -> Result<Verdict, String> {
    if program.is_older_than(&case.needs) {
        return Ok(Verdict::Left(format!("needs nginx {:?}", case.needs)));
    }
    if let Some(module) = case.module.as_ref().filter(|module| program.lacks(module)) {
        return Ok(Verdict::Left(format!("needs the module \"{module}\"")));
    }
    if let Some(differs) = case.differs.as_ref().filter(|_| !program.is_ours()) {
        return Ok(Verdict::Left(differs.clone()));
    }
    let root = tempfile::tempdir().map_err(|error| error.to_string())?;
    let places = Places::of(case, root.path()).map_err(|error| error.to_string())?;
    program.write(case, &places)?;
    let Some(pending) = case.pending.as_ref().filter(|_| program.is_ours()) else {
        return play(case, program, &places).await.map(|()| Verdict::Passed);
    };
    let failed = match program.test(case, &places) {
        Some(error) => Some(error),
        None => play(case, program, &places).await.err(),
    };
    match failed {
        Some(error) => {
            let first = error.lines().next().unwrap_or_default();
            Ok(Verdict::Left(format!("pending {pending}: {first}")))
        }
        None => Err(format!("passes: remove \"pending {pending}\"")),
    }
}

/// Starts the program and its backends, and takes all steps.
async fn play(case: &Case, program: &Program, places: &Places) -> Result<(), String> {
    let mut run = Run {
        places,
        names: Vec::new(),
        stubs: BTreeMap::new(),
        held: BTreeMap::new(),
        balancer: None,
    };
    for place in &case.places {
        if place.kind == PlaceKind::Backend {
            run.names.push(place.name.clone());
            run.start_stub(&place.name).await?;
        }
    }
    run.balancer = Some(program.start(case, places).await?);
    for step in &case.steps {
        let is_for_ours = matches!(step.action, Action::Warns(_));
        if is_for_ours && !program.is_ours() {
            continue;
        }
        if let Err(error) = run.take(step).await {
            let log = fs::read_to_string(places.path("/var/log/nginx/error.log"));
            let printed = run.balancer.as_ref().map(Balancer::output);
            return Err(format!(
                "line {}: {error}\n{}{}",
                step.line,
                printed.unwrap_or_default(),
                log.unwrap_or_default()
            ));
        }
    }
    run.held.clear();
    match run.balancer {
        Some(balancer) => balancer.stop().await,
        None => Ok(()),
    }
}

/// A case that runs.
struct Run<'a> {
    places: &'a Places,
    /// The names of all backends.
    names: Vec<String>,
    stubs: BTreeMap<String, Stub>,
    /// Clients that stay.
    held: BTreeMap<String, BufReader<TcpStream>>,
    balancer: Option<Balancer>,
}

impl Run<'_> {
    async fn start_stub(&mut self, name: &str) -> Result<(), String> {
        let started = Stub::start(name, self.places.addr(name)?).await;
        let stub = started.map_err(|error| format!("{name}: {error}"))?;
        self.stubs.insert(name.to_owned(), stub);
        Ok(())
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            match self.try_take(&step.action).await {
                Err(_) if step.is_eventual && begin.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(20)).await;
                }
                result => return result,
            }
        }
    }

    async fn try_take(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Ask { clients, expected } => {
                let seen = ask_all(clients, self.places, &self.names).await?;
                self.check(expected, &seen)
            }
            Action::Hold {
                name,
                client,
                backend,
            } => {
                let (seen, stream) = client.ask(self.places, &self.names).await?;
                self.held
                    .extend(stream.map(|stream| (name.clone(), stream)));
                equal(&seen.word(), backend)
            }
            Action::End(name) => {
                let ended = self.held.remove(name);
                ended
                    .map(drop)
                    .ok_or_else(|| format!("{name} does not stay"))
            }
            Action::Stop(name) => {
                let stub = self.stubs.remove(name);
                stub.ok_or_else(|| format!("{name} does not run"))?
                    .stop()
                    .await;
                Ok(())
            }
            Action::Start(name) => self.start_stub(name).await,
            Action::Log { path, pattern } => {
                let pattern = self.places.fill(pattern);
                self.logged(path, |line| matches(&pattern, line), &pattern)
                    .await
            }
            Action::LogJson { path, fields } => {
                let fields = fields.iter();
                let fields: BTreeMap<_, _> = fields
                    .map(|(key, value)| (key.as_str(), self.places.fill(value)))
                    .collect();
                self.logged(
                    path,
                    |line| has_fields(line, &fields),
                    &format!("{fields:?}"),
                )
                .await
            }
            Action::Warns(pattern) => {
                let printed = self.balancer.as_ref().map(Balancer::output);
                let printed = printed.unwrap_or_default();
                match printed.lines().any(|line| matches(pattern, line)) {
                    true => Ok(()),
                    false => Err(format!("no such warning: {pattern}")),
                }
            }
        }
    }

    /// Waits until a line of a file is as expected.
    async fn logged(
        &self,
        path: &str,
        is_expected: impl Fn(&str) -> bool,
        what: &str,
    ) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(self.places.path(path)).unwrap_or_default();
            if text.lines().any(&is_expected) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("no line is {what} in {path}:\n{text}"));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn check(&self, expected: &Expected, seen: &[Seen]) -> Result<(), String> {
        let words: Vec<_> = seen.iter().map(Seen::word).collect();
        let mut counts = BTreeMap::new();
        for word in &words {
            *counts.entry(word.as_str()).or_insert(0) += 1;
        }
        let all_served = words.iter().all(|word| self.names.contains(word));
        match expected {
            Expected::InOrder(names) => equal(&words.join(" "), &names.join(" ")),
            Expected::Shares(shares) => {
                let fits = |(name, range): (&String, &std::ops::RangeInclusive<usize>)| {
                    range.contains(&counts.get(name.as_str()).copied().unwrap_or_default())
                };
                let known = counts.keys().all(|name| shares.contains_key(*name));
                match known && shares.iter().all(fits) {
                    true => Ok(()),
                    false => Err(format!("{counts:?}, not {shares:?}")),
                }
            }
            Expected::One if all_served && counts.len() == 1 => Ok(()),
            Expected::Several if all_served && counts.len() > 1 => Ok(()),
            Expected::One | Expected::Several => Err(format!("{counts:?}, not {expected:?}")),
            Expected::Text(pattern) => seen.iter().try_for_each(|seen| match seen {
                Seen::Text(text) => like(text, &self.places.fill(pattern)),
                other => Err(format!("{}, not a text", other.word())),
            }),
            Expected::Gets { backend, pattern } => seen.iter().try_for_each(|seen| match seen {
                Seen::Backend { name, got } => {
                    equal(name, backend)?;
                    like(got, &self.places.fill(pattern))
                }
                other => Err(format!("{}, not {backend}", other.word())),
            }),
        }
    }
}

fn equal(seen: &str, expected: &str) -> Result<(), String> {
    match seen == expected {
        true => Ok(()),
        false => Err(format!("{seen}, not {expected}")),
    }
}

fn like(seen: &str, pattern: &str) -> Result<(), String> {
    match matches(pattern, seen) {
        true => Ok(()),
        false => Err(format!("{seen:?}, not {pattern:?}")),
    }
}

/// Whether `line` is a JSON object with these fields. Numbers and strings are compared as text.
fn has_fields(line: &str, fields: &BTreeMap<&str, String>) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return false;
    };
    fields.iter().all(|(key, pattern)| match object.get(*key) {
        Some(Value::String(text)) => matches(pattern, text),
        Some(value) => matches(pattern, &value.to_string()),
        None => false,
    })
}
