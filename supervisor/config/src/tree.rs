//! Text to syntax tree, one file at a time, with all of its syntax errors.
//!
//! Owns what is said about text that is no TOML, and which stretch of a broken file must not be
//! judged further. Follows TOML 1.1 as the `toml` crate reads it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::flaw::{Flaw, show};
use crate::schema;
use crate::sink::{Lines, Place, Sink};

/// The tree of `text`, as far as it can be read.
pub(crate) fn read<'t>(file: usize, text: &'t str, sink: &Sink) -> Spanned<DeTable<'t>> {
    if let Some(offset) = text.find('\0') {
        let flaw = Flaw::new("a NUL character: this is not a text file");
        sink.syntax(Place { file, offset }, flaw.help("save it as UTF-8 text"));
        return Spanned::new(0..0, DeTable::new());
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        report(file, text, &tree, &errors, sink);
    }
    tree
}

/// One mistake a line, none where an earlier one makes the rest of the file unreadable.
fn report(file: usize, text: &str, tree: &Spanned<DeTable<'_>>, errors: &[toml::de::Error], sink: &Sink) {
    let lines = Lines::new(text);
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().map_or(0, |span| span.start), error)).collect();
    errors.sort_by_key(|(offset, _)| *offset);
    let open = errors
        .iter()
        .filter(|(_, error)| is_unclosed(error.message()))
        .take(SOUGHT)
        .filter_map(|(offset, error)| Some((spread(tree.get_ref(), *offset, &lines)?, *error)))
        .min_by_key(|(range, _)| range.start);
    if let Some((range, error)) = &open {
        sink.syntax(Place { file, offset: range.start }, reworded(error.message()));
        sink.shadow(file, lines.range(range.start).start..text.len() + 1);
    }
    let end = open.map_or(usize::MAX, |(range, _)| range.start);
    let (mut line, mut hidden, mut again) = (0..0, 0, 0);
    for (offset, error) in errors.into_iter().take_while(|(offset, _)| *offset < end) {
        // Keys of a table that was opened before are there before, too.
        if line.contains(&offset) || (offset < again && error.message() == TWICE) {
            continue;
        }
        line = lines.range(offset);
        let flaw = twice(error.message(), text.get(line.start..line.end.min(text.len())).unwrap_or(""));
        if flaw.is_some() {
            again = shadow(text, line.clone()).end;
        }
        sink.syntax(Place { file, offset }, flaw.unwrap_or_else(|| reworded(error.message())));
        // Within a shadow every header has the name that opened it, and so the same end.
        if line.start >= hidden {
            let shadow = shadow(text, line.clone());
            hidden = shadow.end;
            sink.shadow(file, shadow);
        }
    }
}

/// What a broken line makes unreadable: itself, and the table it should have opened.
fn shadow(text: &str, line: Range<usize>) -> Range<usize> {
    let Some(name) = text.get(line.start..line.end.min(text.len())).and_then(header) else { return line };
    let rest = text.get(line.end.min(text.len())..).unwrap_or("");
    let mut end = line.end;
    for next in rest.split_inclusive('\n') {
        if header(next).is_some_and(|other| other != name) {
            break;
        }
        end += next.len();
    }
    line.start..end
}

/// What is said of a `[table]` line whose table was opened before: of many, it is one of a list.
fn twice(message: &str, line: &str) -> Option<Flaw> {
    let line = line.trim_start_matches(['\u{feff}', ' ', '\t']);
    let name = line.strip_prefix('[')?.split(']').next()?.trim();
    if message != TWICE || name.starts_with('[') {
        return None;
    }
    let list = format!("[[{name}]]");
    let flaw = Flaw::new(format!("{} is here for the second time", show(&format!("[{name}]"))));
    Some(if schema::ALL.iter().any(|schema| schema.title == list) {
        flaw.help(format!("write {list}, with two brackets, above each of them"))
    } else {
        flaw.help("put its keys under the first one")
    })
}

/// The first word of a `[table]` or `[[table]]` line.
fn header(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(['\u{feff}', ' ', '\t']).strip_prefix('[')?;
    let name = line.trim_start_matches(['[', ' ', '\t']);
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next()
}

fn is_unclosed(message: &str) -> bool {
    ["unclosed array,", "unclosed inline table", "invalid multi-line"]
        .iter()
        .any(|start| message.starts_with(start))
}

/// The outermost value that ends at `end` and began on an earlier line.
fn spread(table: &DeTable<'_>, end: usize, lines: &Lines<'_>) -> Option<Range<usize>> {
    table.iter().find_map(|(_, value)| {
        let span = value.span();
        let spreads = span.end == end && lines.range(span.start) != lines.range(end);
        match value.get_ref() {
            DeValue::Array(_) | DeValue::String(_) | DeValue::Table(_)
                if spreads && is_value(value, lines) =>
            {
                Some(span)
            }
            DeValue::Table(inner) => spread(inner, end, lines),
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| item.get_ref().as_table())
                .find_map(|inner| spread(inner, end, lines)),
            _ => None,
        }
    })
}

/// Whether `value` stands after `=`, rather than under a header.
fn is_value(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> bool {
    value.span().start > lines.range(value.span().start).start
}

/// The parser's message, with what people most often mean by such text.
fn reworded(message: &str) -> Flaw {
    let help = match message {
        m if m.starts_with("string values must be quoted") => "put the value in double quotes",
        m if m.starts_with("key with no value") => "write key = value",
        m if m.starts_with("unclosed array,") => "close the list with ]",
        m if m.starts_with("missing escaped value") => "use single quotes for text with backslashes",
        TWICE => "it is set before in this file; keep one of them",
        _ => return Flaw::new(message),
    };
    Flaw::new(message).help(help)
}

/// What the parser says of a key or table that is there already.
const TWICE: &str = "duplicate key";
/// Unclosed values whose start is sought; each search walks the tree.
const SOUGHT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn told(text: &str) -> String {
        let sink = Sink::default();
        read(0, text, &sink);
        let sources = [Source { path: "f".into(), text: text.to_owned() }];
        sink.into_mistakes(&sources).map(|mistakes| mistakes.to_string()).unwrap_or_default()
    }

    #[test]
    fn reports_every_broken_line_once() {
        assert_eq!(
            told("a = 5s\nb = 1\nd = \"x\nc\n"),
            "f:1:5: string values must be quoted, expected literal string; put the value in double quotes\n\
             f:3:7: invalid basic string, expected `\"`\n\
             f:4:2: key with no value, expected `=`; write key = value"
        );
    }

    #[test]
    fn points_at_the_start_of_a_list_that_is_never_closed() {
        assert_eq!(
            told("[a]\nx = [\n  \"1\",\ny = 2\n[b]\nz = 3\n"),
            "f:2:5: unclosed array, expected `]`; close the list with ]"
        );
    }

    #[test]
    fn names_a_nul_character() {
        assert_eq!(
            told("a = 1\n\0"),
            "f:2:1: a NUL character: this is not a text file; save it as UTF-8 text"
        );
    }

    #[test]
    fn accepts_a_byte_order_mark_and_crlf() {
        assert_eq!(told("\u{feff}a = 1\r\nb = 2\r\n"), "");
    }

    #[test]
    fn a_broken_header_hides_its_table_and_no_other() {
        let text = "[[vhosts]\nx = 1\n[[vhosts.routes]]\n[tls]\n";
        assert_eq!(shadow(text, 0..10), 0..text.len() - "[tls]\n".len());
        assert_eq!(shadow("a = [\nb\n", 6..8), 6..8);
    }
}
