//! Steps of a case: an event while it runs, and the expected effect.
//!
//! | step | meaning |
//! |---|---|
//! | `ask LISTEN [COUNT] [OPTIONS] => EXPECTED` | clients connect one after another |
//! | `hold NAME LISTEN [OPTIONS] => BACKEND` | a client connects and stays |
//! | `end NAME` | a client that stayed closes |
//! | `stop BACKEND`, `start BACKEND` | connections to the backend are refused, or served again |
//! | `log PATH has PATTERN` | a line of the file is as the pattern says; `*` is any text |
//! | `log PATH json KEY=PATTERN…` | a line of the file is a JSON object with these values |
//! | `warns PATTERN` | nginx_like has printed this at its start |
//! | `eventually …` | the step is tried until it is as expected |
//!
//! Options: `from=IP` or `from=IP..IP` for clients with addresses in turn; `send=BYTES` that the client sends first;
//! `hello=NAME` (or `hello=` for none) for a TLS client, with `alpn=A,B` and `tls=1.2`; `proxy=BYTES` in front of all. A client
//! without `send` and `hello` waits for the backend first.
//!
//! Expected: one word for each client, in order (the name of a backend, `closed` without a byte, `refused`); `shares A=N
//! B=N..M` in any order; `one` backend for all; `several` backends; `text PATTERN` for all that a client gets to the end;
//! `BACKEND gets PATTERN` for what the backend gets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::client::Client;

/// A step, and its line.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) is_eventual: bool,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    Ask {
        clients: Vec<Client>,
        expected: Expected,
    },
    Hold {
        name: String,
        client: Client,
        backend: String,
    },
    End(String),
    Stop(String),
    Start(String),
    Log {
        path: String,
        pattern: String,
    },
    LogJson {
        path: String,
        fields: BTreeMap<String, String>,
    },
    Warns(String),
}

#[derive(Debug)]
pub(crate) enum Expected {
    InOrder(Vec<String>),
    Shares(BTreeMap<String, RangeInclusive<usize>>),
    One,
    Several,
    Text(String),
    Gets { backend: String, pattern: String },
}

impl Step {
    pub(crate) fn parse(words: &[&str], line: usize) -> Result<Self, String> {
        let (is_eventual, words) = match words {
            ["eventually", rest @ ..] => (true, rest),
            words => (false, words),
        };
        Ok(Self {
            line,
            is_eventual,
            action: Action::parse(words)?,
        })
    }
}

impl Action {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let owned = |text: &str| text.to_owned();
        Ok(match words {
            ["ask", listen, rest @ ..] => {
                let (options, expected) = halves(rest)?;
                let expected = Expected::parse(expected)?;
                Self::Ask {
                    clients: clients(listen, options, &expected)?,
                    expected,
                }
            }
            ["hold", name, listen, rest @ ..] => {
                let (options, expected) = halves(rest)?;
                let [backend] = expected else {
                    return Err("a client that stays has one backend".to_owned());
                };
                let mut client = Client::of(listen);
                options.iter().try_for_each(|option| client.add(option))?;
                Self::Hold {
                    name: owned(name),
                    client,
                    backend: owned(backend),
                }
            }
            ["end", name] => Self::End(owned(name)),
            ["stop", name] => Self::Stop(owned(name)),
            ["start", name] => Self::Start(owned(name)),
            ["log", path, "has", pattern] => Self::Log {
                path: owned(path),
                pattern: owned(pattern),
            },
            ["log", path, "json", fields @ ..] => Self::LogJson {
                path: owned(path),
                fields: fields
                    .iter()
                    .map(|field| pair(field))
                    .collect::<Result<_, _>>()?,
            },
            ["warns", pattern] => Self::Warns(owned(pattern)),
            _ => return Err(format!("unknown instruction: {words:?}")),
        })
    }
}

impl Expected {
    fn parse(words: &[&str]) -> Result<Self, String> {
        Ok(match words {
            [] => return Err("nothing is expected".to_owned()),
            ["one"] => Self::One,
            ["several"] => Self::Several,
            ["text", pattern] => Self::Text((*pattern).to_owned()),
            [backend, "gets", pattern] => Self::Gets {
                backend: (*backend).to_owned(),
                pattern: (*pattern).to_owned(),
            },
            ["shares", shares @ ..] => {
                let shares = shares.iter().map(|share| {
                    let (name, count) = pair(share)?;
                    Ok((name, range(&count)?))
                });
                Self::Shares(shares.collect::<Result<_, String>>()?)
            }
            names => Self::InOrder(names.iter().map(|&name| name.to_owned()).collect()),
        })
    }
}

/// The words before and after `=>`.
fn halves<'a, 'b>(words: &'a [&'b str]) -> Result<(&'a [&'b str], &'a [&'b str]), String> {
    let arrow = words.iter().position(|&word| word == "=>");
    let arrow = arrow.ok_or("there is no =>")?;
    Ok((&words[..arrow], &words[arrow + 1..]))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("no = in {text}"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `N` or `N..M`.
fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    match text.split_once("..") {
        Some((least, most)) => Ok(number(least)?..=number(most)?),
        None => Ok(number(text)?..=number(text)?),
    }
}

/// The clients of an `ask`: as many as the count or the words that are expected say.
fn clients(listen: &str, options: &[&str], expected: &Expected) -> Result<Vec<Client>, String> {
    let mut client = Client::of(listen);
    let mut sources = Vec::new();
    let mut count = match expected {
        Expected::InOrder(names) => names.len(),
        _ => 1,
    };
    for option in options {
        if let Ok(number) = option.parse() {
            count = number;
        } else if let Some((first, last)) = option
            .strip_prefix("from=")
            .and_then(|range| range.split_once(".."))
        {
            let number = |text: &str| text.parse::<Ipv4Addr>().map(u32::from);
            let first = number(first).map_err(|error| error.to_string())?;
            let last = number(last).map_err(|error| error.to_string())?;
            sources.extend((first..=last).map(Ipv4Addr::from));
        } else {
            client.add(option)?;
        }
    }
    if let Expected::InOrder(names) = expected
        && names.len() != count
    {
        return Err(format!("{count} clients, and {} are expected", names.len()));
    }
    if sources.is_empty() {
        sources.extend(client.source);
    }
    let from = |number: usize| sources.get(number % sources.len().max(1)).copied();
    let mut clients = vec![client; count];
    for (number, client) in clients.iter_mut().enumerate() {
        client.source = from(number);
    }
    Ok(clients)
}
