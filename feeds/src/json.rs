//! JSON as adapters need it. In: one message's bytes (altered in place). Out: a walk over simd-json's tape, without allocation once
//! the buffers are warm. Bounded by the message, and by `MAX_DEPTH` levels of nesting.

use crate::engine::{BAD, Number, number};
use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape};
use wire::decimal::Decimal;

/// No venue message nests deeper; a bomb of brackets is refused.
const MAX_DEPTH: usize = 16;

/// Reused parser memory of one adapter.
pub struct Parser {
    buffers: Buffers,
    /// Always empty between messages, so it borrows nothing.
    tape: Tape<'static>,
    /// The message with its numbers quoted.
    quoted: Vec<u8>,
}

impl Default for Parser {
    fn default() -> Self {
        Self { buffers: Buffers::with_max_depth(64 * 1024, MAX_DEPTH), tape: Tape(Vec::with_capacity(4_096)), quoted: Vec::new() }
    }
}

impl Parser {
    /// Parses `payload` and hands its root to `each`. Padding is appended to `payload`, its strings are unescaped in place.
    pub fn parse<R>(&mut self, payload: &mut Vec<u8>, each: impl FnOnce(Value<'_, '_>) -> R) -> Option<R> {
        let length = payload.len();
        payload.resize(length + INPUT_PADDING, 0);
        let mut tape: Tape<'_> = std::mem::replace(&mut self.tape, Tape(Vec::new()));
        let parsed = simd_json::fill_tape_padded(payload, length, &mut self.buffers, &mut tape);
        let result = (parsed.is_ok() && !tape.0.is_empty()).then(|| each(Value(&tape.0)));
        self.tape = tape.reset();
        result
    }

    /// `parse` for venues that send prices as bare numbers: those with a fraction, an exponent or more digits than 64 bits hold become
    /// texts, so that none is ever a float. `Value::number` reads either.
    pub fn parse_exact<R>(&mut self, payload: &[u8], each: impl FnOnce(Value<'_, '_>) -> R) -> Option<R> {
        let mut quoted = std::mem::take(&mut self.quoted);
        quoted.clear();
        quote_numbers(payload, &mut quoted);
        let result = self.parse(&mut quoted, each);
        self.quoted = quoted;
        result
    }
}

/// More digits than this may not fit 64 bits.
const SAFE_DIGITS: usize = 18;

/// Copies `json` with a quote on both sides of every number that is not a short integer.
fn quote_numbers(json: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_text(json, at),
            b'-' | b'0'..=b'9' => {
                let start = at;
                let mut simple = true;
                while let Some(byte) = json.get(at) {
                    match byte {
                        b'0'..=b'9' | b'-' => {}
                        b'.' | b'e' | b'E' | b'+' => simple = false,
                        _ => break,
                    }
                    at += 1;
                }
                if !simple || at - start > SAFE_DIGITS {
                    out.extend_from_slice(&json[copied..start]);
                    out.push(b'"');
                    out.extend_from_slice(&json[start..at]);
                    out.push(b'"');
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&json[copied..]);
}

/// Behind the text that begins at `start`, or the end of a torn one.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// One value: the nodes from its own first one to (at least) its last one.
#[derive(Clone, Copy)]
pub struct Value<'t, 'a>(&'t [Node<'a>]);

fn nodes(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        _ => 1,
    }
}

impl<'t, 'a> Value<'t, 'a> {
    pub fn text(self) -> Option<&'a str> {
        match self.0.first()? {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn unsigned(self) -> Option<u64> {
        match self.0.first()? {
            Node::Static(StaticNode::U64(number)) => Some(*number),
            Node::Static(StaticNode::I64(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A price or size, text or bare (then only after `Parser::parse_exact`), or `BAD`.
    pub fn number(self) -> Number {
        match self.0.first() {
            Some(Node::String(text)) => number(text),
            Some(Node::Static(StaticNode::I64(number))) => Decimal::new(*number, 0),
            Some(Node::Static(StaticNode::U64(number))) => i64::try_from(*number).map_or(BAD, |number| Decimal::new(number, 0)),
            _ => BAD,
        }
    }

    /// An id or a time, text or bare.
    pub fn whole(self) -> Option<u64> {
        match self.text() {
            Some(text) => text.parse().ok(),
            None => self.unsigned(),
        }
    }

    /// The values of these keys, in one walk.
    pub fn fields<const N: usize>(self, keys: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        for (key, value) in self.entries() {
            if let Some(at) = keys.iter().position(|known| *known == key) {
                found[at] = Some(value);
            }
        }
        found
    }

    /// The value of this key; keys are looked through in order.
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn signed(self) -> Option<i64> {
        match self.0.first()? {
            Node::Static(StaticNode::I64(number)) => Some(*number),
            Node::Static(StaticNode::U64(number)) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub fn truth(self) -> Option<bool> {
        match self.0.first()? {
            Node::Static(StaticNode::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }

    pub fn is_null(self) -> bool {
        matches!(self.0.first(), Some(Node::Static(StaticNode::Null)))
    }

    /// The entries of an object in order; nothing if it is none.
    pub fn entries(self) -> Entries<'t, 'a> {
        match self.0.first() {
            Some(Node::Object { len, .. }) => Entries { rest: &self.0[1..], left: *len },
            _ => Entries { rest: &[], left: 0 },
        }
    }

    pub fn is_object(self) -> bool {
        matches!(self.0.first(), Some(Node::Object { .. }))
    }

    pub fn is_array(self) -> bool {
        matches!(self.0.first(), Some(Node::Array { .. }))
    }

    /// The elements of an array in order; nothing if it is none.
    pub fn elements(self) -> Elements<'t, 'a> {
        match self.0.first() {
            Some(Node::Array { len, .. }) => Elements { rest: &self.0[1..], left: *len },
            _ => Elements { rest: &[], left: 0 },
        }
    }
}

fn take<'t, 'a>(rest: &mut &'t [Node<'a>]) -> Option<Value<'t, 'a>> {
    let length = nodes(rest.first()?);
    let value = rest.get(..length)?;
    *rest = &rest[length..];
    Some(Value(value))
}

#[derive(Clone)]
pub struct Entries<'t, 'a> {
    rest: &'t [Node<'a>],
    left: usize,
}

impl<'t, 'a> Iterator for Entries<'t, 'a> {
    type Item = (&'a str, Value<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = take(&mut self.rest)?.text()?;
        Some((key, take(&mut self.rest)?))
    }
}

#[derive(Clone)]
pub struct Elements<'t, 'a> {
    rest: &'t [Node<'a>],
    left: usize,
}

impl<'t, 'a> Iterator for Elements<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        take(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        let mut parser = Parser::default();
        let text = br#"{"a":98765432109.12345,"b":[1.50,-2e-7,7,123456789012345678901],"c":"x\"1.5","d":0.00000000,"e":true}"#;
        let seen = parser.parse_exact(text, |root| {
            let inner: Vec<Number> = root.get("b").unwrap().elements().map(Value::number).collect();
            (
                root.get("a").unwrap().number(),
                inner,
                root.get("c").unwrap().text().unwrap().to_owned(),
                root.get("d").unwrap().number(),
            )
        });
        let numbers = vec![Decimal::new(150, -2), Decimal::new(-2, -7), Decimal::new(7, 0), BAD];
        assert_eq!(seen, Some((Decimal::new(9_876_543_210_912_345, -5), numbers, "x\"1.5".to_owned(), Decimal::new(0, -8))));
        for torn in ["{\"a", "{\"a\\", "[1.", "-"] {
            assert!(parser.parse_exact(torn.as_bytes(), |_| ()).is_none(), "{torn}");
        }
    }

    #[test]
    fn walks_nested_values_and_refuses_depth_bombs() {
        let mut parser = Parser::default();
        let mut text = br#"{"a":[["1","2"],[]],"b":{"c":{"d":7}},"e":true,"f":-3,"g":null,"h":"x\ty"}"#.to_vec();
        let seen = parser.parse(&mut text, |root| {
            let keys: Vec<_> = root.entries().map(|(key, _)| key.to_owned()).collect();
            let inner = root.entries().next().unwrap().1;
            let pair: Vec<_> = inner.elements().next().unwrap().elements().filter_map(Value::text).map(str::to_owned).collect();
            (keys.concat(), pair, inner.elements().count())
        });
        assert_eq!(seen, Some(("abefgh".to_owned(), vec!["1".to_owned(), "2".to_owned()], 2)));
        let mut bomb = vec![b'['; 10_000];
        assert!(parser.parse(&mut bomb, |_| ()).is_none());
        let mut closed = [vec![b'['; 20], vec![b']'; 20]].concat();
        assert!(parser.parse(&mut closed, |_| ()).is_none());
        for bad in ["", " ", "{", "{\"a\":NaN}", "{\"a\":1e999}", "nul"] {
            assert!(parser.parse(&mut bad.as_bytes().to_vec(), |_| ()).is_none(), "{bad}");
        }
        assert_eq!(parser.parse(&mut b"12".to_vec(), |root| root.unsigned()), Some(Some(12)));
    }
}
