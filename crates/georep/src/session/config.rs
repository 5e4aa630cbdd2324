//! A session's options, under the names of this Gluster or an older one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::{AnswerError, AnswerProblem, clip};
use crate::error::Error;

/// A session's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    options: BTreeMap<String, String>,
}

impl SessionConfig {
    pub(crate) fn new(options: BTreeMap<String, String>) -> Self {
        Self { options }
    }

    /// The option called `name`, in the vocabulary since Gluster 10 (`secondary-access-mount`); an older Gluster's
    /// name for it (`slave-access-mount`) is found too.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).or_else(|| self.options.get(&older(name))).map(String::as_str)
    }

    /// Such an option, if it is a switch.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(crate::volume::parse_switch)
    }

    /// The checkpoint, if one is set.
    ///
    /// # Errors
    /// [`Error::Answer`] if it is not a number of seconds.
    pub fn checkpoint(&self) -> Result<Option<Timestamp>, Error> {
        let Some(text) = self.get("checkpoint").filter(|t| !t.is_empty() && *t != "0") else {
            return Ok(None);
        };
        let parsed = text.parse::<i64>().ok().and_then(|s| Timestamp::from_second(s).ok());
        parsed.map(Some).ok_or_else(|| {
            let problem = AnswerProblem::Value { element: "checkpoint", text: clip(text, 100) };
            AnswerError { command: "gluster … config --xml".to_owned(), problem, excerpt: String::new() }
                .into()
        })
    }

    /// What this Gluster calls the option: `name`, or its name before Gluster 10 if that is what the session has.
    #[must_use]
    pub fn spelling(&self, name: &str) -> String {
        let old = older(name);
        if !self.options.contains_key(name) && self.options.contains_key(&old) {
            old
        } else {
            name.to_owned()
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

fn older(name: &str) -> String {
    name.replace("secondary", "slave").replace("primary", "master")
}
