//! In: the file of a 256-bit key: raw, in hex or in base64. Out: its bytes, or what is wrong with it. Bounded: `MAX_FILE_BYTES` are read.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::io::Read;
use std::path::Path;

pub const KEY_BYTES: usize = 32;

/// How to make a file that is good.
pub const KEY_REMEDY: &str = "make one with `head -c 32 /dev/urandom > FILE`; relative paths start at the configuration's folder";

/// A key in hex with some line ends is far shorter.
const MAX_FILE_BYTES: u64 = 256;

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING), GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING)];

/// The error names the file, but never what is in it.
pub fn read_key(path: &Path) -> Result<[u8; KEY_BYTES], String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    key_of(&bytes).ok_or_else(|| format!("{}: holds no key of {KEY_BYTES} bytes, raw, in hex or in base64", path.display()))
}

fn key_of(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let text = bytes.trim_ascii();
    if text.len() == 2 * KEY_BYTES {
        return key_of_hex(text);
    }
    BASE64.iter().find_map(|engine| engine.decode(text).ok()?.try_into().ok())
}

fn key_of_hex(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_raw_in_hex_and_in_both_base64() {
        let key: [u8; KEY_BYTES] = std::array::from_fn(|at| (at * 37 + 250) as u8);
        let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64 = [base64::prelude::BASE64_STANDARD.encode(key), base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(key)];
        for text in [hex.clone(), hex.to_lowercase() + "\n", base64[0].clone() + "\r\n", base64[1].clone()] {
            assert_eq!(key_of(text.as_bytes()), Some(key), "{text}");
        }
        assert_eq!(key_of(&key), Some(key));
        for wrong in [&b""[..], b"\n", &key[1..], &hex.as_bytes()[1..], "g".repeat(64).as_bytes(), b"bm90IHRoYXQgbG9uZw=="] {
            assert_eq!(key_of(wrong), None, "{wrong:?}");
        }
    }
}
