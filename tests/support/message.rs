//! HTTP/1.1 messages as they are on the wire (RFC 9112), as far as the two ends of a test need them.

use std::io::{self, BufRead, Read};

/// The head of a request or a response: the exact bytes, each as one character (ISO 8859-1), so that none is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(String);

impl Head {
    /// Reads up to the empty line; `None` if the connection ends before the first byte.
    ///
    /// # Errors
    ///
    /// The stream's, [`io::ErrorKind::UnexpectedEof`] if it ends within the head.
    pub fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            let line = bytes.len();
            match stream.read_until(b'\n', &mut bytes)? {
                0 if bytes.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if matches!(&bytes[line..], b"\r\n" | b"\n") => {
                    return Ok(Some(Self(bytes.into_iter().map(char::from).collect())));
                }
                _ => {}
            }
        }
    }

    /// All of it, the empty line included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request line or status line.
    pub fn start_line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// Names and values of the fields, in order, the names as they were written.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.0.lines().skip(1).filter(|line| !line.is_empty());
        lines.map(|line| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim())))
    }

    /// The values of every field of this name, in any letter case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.fields().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value).collect()
    }

    /// The value of the one field of this name.
    ///
    /// # Panics
    ///
    /// If there are several: which of them counts would be a guess.
    #[track_caller]
    pub fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "several {name} in {self:?}");
        values.first().copied()
    }

    pub(crate) fn content_length(&self) -> Option<usize> {
        self.value("content-length").map(|length| length.parse().unwrap())
    }

    /// Reads the body whose length the head tells; `None` if it does not tell.
    pub(crate) fn read_body(&self, stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        if self.value("transfer-encoding") == Some("chunked") {
            return read_chunks(stream).map(Some);
        }
        self.content_length().map(|length| read_exactly(stream, length)).transpose()
    }
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        body.extend(read_exactly(stream, size)?);
        read_exactly(stream, b"\r\n".len())?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
