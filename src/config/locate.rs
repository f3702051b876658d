//! In: the text of a TOML file and a key's path (`feeds[0].symbols[2]`). Out: where it stands. Bounded by the text.

use super::error::Origin;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The place of a key's value; if the key is not written, the place of its nearest written parent; else the file.
pub(super) fn origin_of_key(file: &Path, text: &str, key: &str) -> Origin {
    match DeTable::parse(text).ok().and_then(|table| span_of_key(table.get_ref(), key)) {
        Some(span) => origin_of_span(file, text, Some(span)),
        None => Origin::File(file.to_owned()),
    }
}

pub(super) fn origin_of_span(file: &Path, text: &str, span: Option<Range<usize>>) -> Origin {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return Origin::File(file.to_owned());
    };
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    Origin::Line { file: file.to_owned(), line: before.matches('\n').count() + 1, column: last_line.chars().count() + 1 }
}

fn span_of_key(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut steps = key.split('.').flat_map(|part| part.split('[').map(|step| step.trim_end_matches(']')));
    let mut value = table.get(steps.next()?)?;
    loop {
        found = Some(value.span()).or(found);
        let Some(step) = steps.next() else { return found };
        let next = match value.get_ref() {
            DeValue::Table(table) => table.get(step),
            DeValue::Array(array) => step.parse().ok().and_then(|at: usize| array.get(at)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# first\n[listen]\naddress = \"a\"\n\n[[feeds]]\nvenue = \"x\"\n[[feeds]]\nsymbols = [\n  \"A\",\n  \"ü\", \"B\",\n]\n";

    #[test]
    fn finds_keys_items_and_parents() {
        for (key, expected) in [
            ("listen.address", Some((3, 11))),
            ("listen.key", Some((2, 1))),
            ("feeds[0].venue", Some((6, 9))),
            ("feeds[1].symbols[2]", Some((10, 8))),
            ("feeds[1].venue", Some((7, 1))),
            ("session.frame_bytes", None),
        ] {
            let place = match origin_of_key(Path::new("f"), TEXT, key) {
                Origin::Line { line, column, .. } => Some((line, column)),
                _ => None,
            };
            assert_eq!(place, expected, "{key}");
        }
    }
}
