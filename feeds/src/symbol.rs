//! A venue's own spelling as a symbol that topics can hold. In: any text. Out: letters, digits, '.', '-' and '_' only.
//! Bounded by `MAX_SYMBOL` bytes.

/// Leaves room for kind, venue and argument in a topic name.
const MAX_SYMBOL: usize = 96;

/// Runs of spaces (options: `SPY   240119C00470000`) become one '-'; any other byte that topics cannot hold becomes '_' and its two
/// hexadecimal digits (units: `ABC=` is `ABC_3D`), so that two names stay two.
pub fn topic_symbol(native: &str) -> String {
    let mut symbol = String::with_capacity(native.len());
    let mut after_space = false;
    for byte in native.trim().bytes() {
        if symbol.len() + 3 > MAX_SYMBOL {
            break;
        }
        match byte {
            b' ' if after_space => continue,
            b' ' => symbol.push('-'),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') => symbol.push(char::from(byte)),
            byte => {
                symbol.push('_');
                for digit in [byte >> 4, byte & 15] {
                    symbol.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
        after_space = byte == b' ';
    }
    symbol
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topic::TopicKey;

    #[test]
    fn every_spelling_becomes_a_symbol() {
        for (native, symbol) in [
            ("AAPL", "AAPL"),
            ("BRK.B", "BRK.B"),
            ("ZIEXT   ", "ZIEXT"),
            ("ABC=", "ABC_3D"),
            ("ABC+", "ABC_2B"),
            ("SPY   240119C00470000", "SPY-240119C00470000"),
            ("UD:1V: VT 2340", "UD_3A1V_3A-VT-2340"),
        ] {
            assert_eq!(topic_symbol(native), symbol);
        }
        let long = topic_symbol(&"é".repeat(500));
        assert!(TopicKey::parse(&format!("quote/databento:{long}")).is_ok(), "{long}");
    }
}
