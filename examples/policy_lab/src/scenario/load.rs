//! From a text, a file or a built-in name to a scenario.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::{Place, ScenarioError};
use super::{Scenario, balancer, builtin, check};

impl Scenario {
    /// Parses a scenario. `origin` is its name in errors and, without a title, on the page.
    ///
    /// # Errors
    ///
    /// If the text is not TOML, or not a scenario as [described](Self). The error names the place.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ScenarioError> {
        let file = toml::from_str(text).map_err(|error| ScenarioError::Invalid {
            origin: origin.to_owned(),
            place: Place::of(text, error.span()),
            message: error.message().to_owned(),
        })?;
        check::check(origin, file, &balancer::given(text)).map_err(|problem| {
            ScenarioError::Invalid {
                origin: origin.to_owned(),
                place: Place::of(text, Some(problem.span)),
                message: problem.message,
            }
        })
    }

    /// The built-in scenario called `name`, or else the file at that path.
    ///
    /// # Errors
    ///
    /// If neither exists, or the file is not a scenario.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some(text) = Self::builtin_text(name) {
            return Self::parse(name, text);
        }
        let bytes = fs::read(name).map_err(|source| {
            let path = Path::new(name).to_owned();
            if source.kind() == ErrorKind::NotFound {
                let known = Self::known();
                return ScenarioError::Unknown {
                    path,
                    source,
                    known,
                };
            }
            ScenarioError::Read { path, source }
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
            ScenarioError::Invalid {
                origin: name.to_owned(),
                place: Place::of(&text, Some(good..good)),
                message: "from here on the file is not UTF-8: save it as text in UTF-8".to_owned(),
            }
        })?;
        Self::parse(name, &text)
    }

    /// The names of the built-in scenarios.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        builtin::ALL.iter().map(|(name, _)| *name)
    }

    /// The text of the built-in scenario called `name`.
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        let mut all = builtin::ALL.iter();
        all.find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The names of the built-in scenarios, as text.
    pub(crate) fn known() -> String {
        Self::builtin_names().collect::<Vec<_>>().join(", ")
    }
}
