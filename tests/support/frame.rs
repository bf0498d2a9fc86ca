//! Frames of HTTP/2 (RFC 9113 section 4.1), byte by byte.

/// Kinds of frames (section 6).
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// Flags of [`DATA`] and [`HEADERS`].
pub const END_STREAM: u8 = 1;
/// See [`END_STREAM`].
pub const END_HEADERS: u8 = 4;

/// What a client says first: the preface, and settings that change nothing (section 3.4).
pub fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A frame.
///
/// # Panics
///
/// If the payload is longer than a frame can be.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [high, length @ ..] = u32::try_from(payload.len()).expect("a length of 24 bits").to_be_bytes();
    assert_eq!(high, 0, "a length of 24 bits");
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
