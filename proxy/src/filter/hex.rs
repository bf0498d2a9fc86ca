//! Hot path: no lock, no I/O, no info log.
//!
//! Hexadecimal digits in lower case.

/// Bytes as two digits each.
pub(super) fn digits(bytes: impl IntoIterator<Item = u8>) -> impl Iterator<Item = u8> {
    bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit)
}

/// The value of a digit. Those in upper case are none.
pub(super) const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_two_digits() {
        for byte in 0..=u8::MAX {
            let written: Vec<_> = digits([byte]).collect();
            assert_eq!(written, format!("{byte:02x}").into_bytes());
        }
    }

    #[test]
    fn a_digit_is_worth_its_place() {
        for digit in 0..=u8::MAX {
            let expected = char::from(digit).to_digit(16).filter(|_| !digit.is_ascii_uppercase());
            assert_eq!(value(digit).map(u32::from), expected, "{digit}");
        }
    }
}
