//! Edits of header fields, as the operator asks for them.
//!
//! Owns their order: removed, set, added. Which names can be edited was judged by the configuration;
//! those that frame a message are not among them.

use fluxheim_config::{HeaderEdits, Template};
use http::{HeaderName, HeaderValue};

use super::template::{Values, render};

/// Edits, compiled.
#[derive(Debug, Default)]
pub struct Edits {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: HeaderName,
    does: Does,
}

#[derive(Debug)]
enum Does {
    Remove,
    Set(Value),
    Add(Value),
}

#[derive(Debug)]
enum Value {
    Constant(HeaderValue),
    Rendered(Template),
}

/// One change to make to a header.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    Remove(&'a HeaderName),
    /// In place of all fields of that name.
    Set(&'a HeaderName, HeaderValue),
    /// Beside them.
    Add(&'a HeaderName, HeaderValue),
}

impl Edits {
    /// Compiles `edits`.
    #[must_use]
    pub fn new(edits: &HeaderEdits) -> Self {
        let removed = edits.remove.iter().map(|name| (name, Does::Remove));
        let set = edits.set.iter().map(|(name, value)| (name, Does::Set(Value::new(value))));
        let added = edits.add.iter().map(|(name, value)| (name, Does::Add(Value::new(value))));
        let steps = removed.chain(set).chain(added);
        // The configuration takes no name that is none.
        let steps = steps.filter_map(|(name, does)| Some(Step { name: name.parse().ok()?, does }));
        Self { steps: steps.collect() }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a field that is spelled `dashed` with hyphens throughout is one that is removed or set.
    #[must_use]
    pub fn replaces(&self, dashed: &str) -> bool {
        self.steps.iter().any(|step| step.name == dashed && !matches!(step.does, Does::Add(_)))
    }

    /// Gives every change to `apply`, in order.
    ///
    /// # Errors
    /// The first of `apply`.
    pub fn each<E>(
        &self,
        values: &Values<'_>,
        mut apply: impl FnMut(Edit<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for Step { name, does } in &self.steps {
            match does {
                Does::Remove => apply(Edit::Remove(name))?,
                Does::Set(value) => match value.filled(values) {
                    Some(value) => apply(Edit::Set(name, value))?,
                    // Nothing to say is not said; what the client said in its place must not stand either.
                    None => apply(Edit::Remove(name))?,
                },
                Does::Add(value) => {
                    value.filled(values).map_or(Ok(()), |value| apply(Edit::Add(name, value)))?
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn new(template: &Template) -> Self {
        let constant = match template.parts() {
            [fluxheim_config::Part::Text(text)] => HeaderValue::from_bytes(text.as_bytes()).ok(),
            _ => None,
        };
        constant.map_or_else(|| Self::Rendered(template.clone()), Self::Constant)
    }

    /// `None` when it comes out empty, or as what no field can hold.
    fn filled(&self, values: &Values<'_>) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Rendered(template) => {
                let text = render(template, values);
                if text.is_empty() { None } else { HeaderValue::from_bytes(text.as_bytes()).ok() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::with;
    use super::*;

    fn edits() -> Edits {
        let values = |entries: &[(&str, &str)]| {
            entries.iter().map(|(name, value)| ((*name).to_owned(), value.parse().unwrap())).collect()
        };
        Edits::new(&HeaderEdits {
            set: values(&[("x-client", "{client_ip}"), ("x-empty", ""), ("x-path", "p={path}")]),
            add: values(&[("x-more", "1")]),
            remove: [String::from("x-gone")].into(),
        })
    }

    fn applied(path: &str) -> Vec<String> {
        let mut seen = Vec::new();
        with("a.test", path, |values| {
            edits().each(values, |edit| {
                seen.push(format!("{edit:?}"));
                Ok::<_, ()>(())
            })
        })
        .unwrap();
        seen
    }

    #[test]
    fn removes_sets_and_adds_in_that_order() {
        assert_eq!(
            applied("/x"),
            [
                "Remove(\"x-gone\")",
                "Set(\"x-client\", \"192.0.2.7\")",
                "Remove(\"x-empty\")",
                "Set(\"x-path\", \"p=/x\")",
                "Add(\"x-more\", \"1\")"
            ]
        );
    }

    #[test]
    fn says_nothing_rather_than_what_would_end_a_line() {
        assert!(applied("/x\r\nY: z").contains(&"Remove(\"x-path\")".to_owned()));
    }

    #[test]
    fn knows_what_it_replaces() {
        assert!(edits().replaces("x-client") && edits().replaces("x-gone") && !edits().replaces("x-more"));
        assert!(Edits::default().is_empty() && !edits().is_empty());
    }
}
