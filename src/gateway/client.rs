//! Knocks at the door: a small blocking HTTP client over a Unix socket, for commands.
//!
//! It knows of HTTP what our own door speaks: one request per connection, a body with its length
//! or in chunks.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::messages::door::Answer;
use crate::messages::door::Call;
use crate::messages::door::DoorError;

/// Most bytes of an answer's head.
const HEAD_MAX: u64 = 16 << 10;
/// Most bytes of an answer.
const ANSWER_MAX: u64 = 64 << 20;
/// Most bytes of one event.
const EVENT_MAX: u64 = 1 << 20;

/// Why a call has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens; nothing was sent.
    #[error("nobody answers at the door: {0}")]
    Closed(io::Error),
    /// The call may have been received; its answer was not.
    #[error("the door did not answer: {0}")]
    Lost(io::Error),
    /// What came back is not an answer.
    #[error("the door answered what is no answer: {0}")]
    Garbled(String),
    /// The door said no.
    #[error(transparent)]
    Door(#[from] DoorError),
}

/// Sends a call and waits for its answer, at most `timeout` for each part of it.
///
/// # Errors
/// [`ClientError`].
pub fn call(socket: &Path, call: &Call, timeout: Duration) -> Result<Answer, ClientError> {
    let body = serde_json::to_vec(call).map_err(|error| ClientError::Garbled(error.to_string()))?;
    let head = format!(
        "POST /v1/call HTTP/1.1\r\nHost: gt\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let (status, mut answer) = exchange(socket, &[head.as_bytes(), &body], Some(timeout))?;
    let mut bytes = Vec::new();
    answer.by_ref().take(ANSWER_MAX).read_to_end(&mut bytes).map_err(ClientError::Lost)?;
    let garbled = |error: serde_json::Error| ClientError::Garbled(error.to_string());
    if status == 200 {
        return serde_json::from_slice(&bytes).map_err(garbled);
    }
    Err(ClientError::Door(serde_json::from_slice(&bytes).map_err(garbled)?))
}

/// Watches what happens: one JSON text per item, until the door closes.
///
/// # Errors
/// [`ClientError`].
pub fn events(socket: &Path) -> Result<Events, ClientError> {
    let head = "GET /v1/events HTTP/1.1\r\nHost: gt\r\nConnection: close\r\n\r\n";
    let (status, body) = exchange(socket, &[head.as_bytes()], None)?;
    if status != 200 {
        return Err(ClientError::Garbled(format!("status {status}")));
    }
    Ok(Events { lines: BufReader::new(body) })
}

/// The events of a door.
pub struct Events {
    lines: BufReader<Body>,
}

impl Iterator for Events {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            match self.lines.by_ref().take(EVENT_MAX).read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            if let Some(event) = line.strip_prefix("data: ") {
                return Some(Ok(event.trim_end().to_owned()));
            }
        }
    }
}

fn exchange(
    socket: &Path,
    parts: &[&[u8]],
    timeout: Option<Duration>,
) -> Result<(u16, Body), ClientError> {
    let mut stream = UnixStream::connect(socket).map_err(ClientError::Closed)?;
    stream
        .set_read_timeout(timeout)
        .and_then(|()| stream.set_write_timeout(timeout))
        .map_err(ClientError::Closed)?;
    for part in parts {
        stream.write_all(part).map_err(ClientError::Lost)?;
    }
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let left = HEAD_MAX.saturating_sub(head.len() as u64);
        let read = stream.by_ref().take(left).read_until(b'\n', &mut head);
        if read.map_err(ClientError::Lost)? == 0 {
            return Err(ClientError::Lost(ErrorKind::UnexpectedEof.into()));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&head).map_err(|error| ClientError::Garbled(error.to_string()))?;
    let (true, Some(status)) = (parsed.is_complete(), response.code) else {
        return Err(ClientError::Garbled("half a head".to_owned()));
    };
    let field = |name: &str| {
        let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let chunked = field("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let length = field("content-length").and_then(|text| text.parse().ok());
    let left = if chunked { 0 } else { length.unwrap_or(u64::MAX) };
    Ok((status, Body { stream, chunked, left, ended: false }))
}

/// The body of an answer.
struct Body {
    stream: BufReader<UnixStream>,
    chunked: bool,
    /// Bytes left of the body, or of the present chunk.
    left: u64,
    ended: bool,
}

impl Body {
    /// Reads the line that a chunk begins with; the one before ends with an empty line.
    fn next_chunk(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        while line.iter().all(u8::is_ascii_whitespace) {
            line.clear();
            if self.stream.by_ref().take(HEAD_MAX).read_until(b'\n', &mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => self.left = size,
            _ => return Err(io::Error::new(ErrorKind::InvalidData, "not the size of a chunk")),
        }
        self.ended = self.left == 0;
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunked && self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended || self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.stream.read(&mut buffer[..most])?;
        if count == 0 && self.left != u64::MAX {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= if self.left == u64::MAX { 0 } else { count as u64 };
        Ok(count)
    }
}
