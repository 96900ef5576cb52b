//! A case: a configuration with instructions.
//!
//! | instruction | meaning |
//! |---|---|
//! | `needs nginx VERSION` | an older nginx does not have its directives |
//! | `needs module NAME` | an nginx without this module (such as `mail`) does not have its directives |
//! | `differs from nginx: REASON` | nginx_like does something else on purpose |
//! | `pending WORDS` | nginx_like does not have these directives yet: the case must fail |
//! | `file PATH` | the text of another file follows; relative paths are those beside `nginx.conf` |
//! | `listen NAME WORD` | the word of the configuration that is an address of the balancer |
//! | `backend NAME WORD` | the word that is an address of a backend; it says its name, and returns what it gets |
//! | `unused NAME WORD` | the word that is an address at which nothing listens |
//! | `names NAME WORD HOST…` | the word that is the address of a name server, which has these names for 127.0.0.1 |
//! | `let WORD VALUE` | another word, and its replacement |
//! | `ask …`, `eventually ask …` | what clients see: [`step`](crate::step) |
//!
//! In all values `{NAME}` is the address of that name, and `{NAME.port}` its port.

use std::fs;
use std::path::Path;

use crate::step::Step;
use crate::words;

/// The main file of a configuration.
pub(crate) const MAIN: &str = "/etc/nginx/nginx.conf";

/// A configuration, and what its clients must see.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The version of nginx that has all its directives: major, minor, patch.
    pub(crate) needs: Vec<u32>,
    /// The module of nginx that it needs besides that of `stream`.
    pub(crate) module: Option<String>,
    pub(crate) differs: Option<String>,
    /// The directives that nginx_like lacks.
    pub(crate) pending: Option<String>,
    /// The paths and texts of the files. The first is the main one.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) places: Vec<Place>,
    pub(crate) replaced: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
}

/// An address of the configuration.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) word: String,
    pub(crate) kind: PlaceKind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum PlaceKind {
    Listen,
    Backend,
    Unused,
    Names(Vec<String>),
}

impl Case {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_stem().unwrap_or_default();
        let mut case = Self {
            name: name.to_string_lossy().into_owned(),
            files: vec![(MAIN.to_owned(), String::new())],
            ..Self::default()
        };
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        for (line, number) in text.lines().zip(1..) {
            if let Some(instruction) = line.strip_prefix("#:") {
                let added = case.add(instruction.trim(), number);
                added.map_err(|error| format!("{}:{number}: {error}", path.display()))?;
            } else if let Some((_, file)) = case.files.last_mut() {
                *file += line;
                *file += "\n";
            }
        }
        Ok(case)
    }

    fn add(&mut self, instruction: &str, line: usize) -> Result<(), String> {
        let split = words::split(instruction)?;
        let words: Vec<&str> = split.iter().map(String::as_str).collect();
        match words[..] {
            ["needs", "nginx", version] => {
                let numbers = version.split('.').map(str::parse);
                let numbers: Result<_, std::num::ParseIntError> = numbers.collect();
                self.needs = numbers.map_err(|error| error.to_string())?;
            }
            ["needs", "module", name] => self.module = Some(name.to_owned()),
            ["differs", "from", "nginx:", ..] => self.differs = Some(instruction.to_owned()),
            ["pending", ref names @ ..] => self.pending = Some(names.join(" ")),
            ["file", path] if path.starts_with('/') => {
                self.files.push((path.to_owned(), String::new()));
            }
            ["file", path] => {
                let path = format!("/etc/nginx/{path}");
                self.files.push((path, String::new()));
            }
            ["listen", name, word] => self.place(name, word, PlaceKind::Listen),
            ["backend", name, word] => self.place(name, word, PlaceKind::Backend),
            ["unused", name, word] => self.place(name, word, PlaceKind::Unused),
            ["names", name, word, ref hosts @ ..] => {
                let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
                self.place(name, word, PlaceKind::Names(hosts));
            }
            ["let", word, value] => self.replaced.push((word.to_owned(), value.to_owned())),
            _ => self.steps.push(Step::parse(&words, line)?),
        }
        Ok(())
    }

    fn place(&mut self, name: &str, word: &str, kind: PlaceKind) {
        self.places.push(Place {
            name: name.to_owned(),
            word: word.to_owned(),
            kind,
        });
    }

    /// Whether the main level of the configuration has the directive, and its argument.
    pub(crate) fn main_directive(&self, name: &str) -> Option<&str> {
        let (_, text) = self.files.first()?;
        text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = rest.strip_prefix([' ', '\t'])?;
            rest.trim_start().split([';', ' ']).next()
        })
    }
}
