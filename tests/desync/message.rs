//! Reads HTTP/1.1 messages as strictly as they can be read: what is ambiguous is an error of the sender's.

/// The head of a message: its first line, and its fields in order.
#[derive(Clone, Debug)]
pub struct Head {
    /// The request line or status line.
    pub first: String,
    /// Names as they were sent, and values.
    pub lines: Vec<(String, String)>,
}

/// How a body ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(usize),
    /// With a last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// A response as it came.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head.
    pub head: Head,
    /// The body, decoded; as much as came.
    pub body: String,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Response {
    /// The values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.head.fields(name)
    }
}

impl Head {
    /// Takes a head off the front of `bytes`: it, and its length. None: it is not all there yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not UTF-8".to_owned())?;
        if text.bytes().any(|byte| byte == 0) || text.replace("\r\n", "").contains(['\r', '\n']) {
            return Err(format!("a head with NUL, CR or LF in it: {text:?}"));
        }
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let lines: Result<Vec<_>, _> = lines.map(field_line).collect();
        Ok(Some((Self { first, lines: lines? }, end + 4)))
    }

    /// The values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// How the body ends, by these fields alone; none where they are ambiguous.
    fn framing(&self) -> Result<Option<Framing>, String> {
        match (&self.fields("content-length")[..], &self.fields("transfer-encoding")[..]) {
            ([], []) => Ok(None),
            ([length], []) => {
                let length = length.parse().map_err(|_| format!("Content-Length: {length:?}"))?;
                Ok(Some(Framing::Length(length)))
            }
            ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
            both => Err(format!("ambiguous framing: {both:?}")),
        }
    }

    /// How a request's body ends.
    pub fn request_framing(&self) -> Result<Framing, String> {
        Ok(self.framing()?.unwrap_or(Framing::None))
    }

    /// How a response's body ends.
    pub fn response_framing(&self, status: u16, to_head: bool) -> Result<Framing, String> {
        let framing = self.framing()?;
        Ok(match framing {
            _ if to_head || matches!(status, 100..=199 | 204 | 304) => Framing::None,
            framing => framing.unwrap_or(Framing::Close),
        })
    }

    /// The status code of a status line.
    pub fn status(&self) -> Result<u16, String> {
        let wrong = || format!("a status line: {:?}", self.first);
        let rest =
            self.first.strip_prefix("HTTP/1.1 ").or_else(|| self.first.strip_prefix("HTTP/1.0 ")).ok_or_else(wrong)?;
        let code = rest.split(' ').next().unwrap_or_default();
        if code.len() == 3 { code.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    }
}

/// Takes a body off the front of `bytes`: it, and how many bytes it took. None: it is not all there yet.
pub fn parse_body(bytes: &[u8], framing: &Framing) -> Result<Option<(Vec<u8>, usize)>, String> {
    match *framing {
        Framing::None => Ok(Some((Vec::new(), 0))),
        Framing::Length(length) => Ok((bytes.len() >= length).then(|| (bytes[..length].to_vec(), length))),
        Framing::Chunked => parse_chunks(bytes),
        Framing::Close => Ok(None),
    }
}

/// What there is of a body that is not all there.
pub fn partial_body(bytes: &[u8], framing: &Framing) -> Vec<u8> {
    if *framing != Framing::Chunked {
        return bytes.to_vec();
    }
    let mut body = Vec::new();
    let mut rest = bytes;
    while let Some((size, start)) = chunk_size(rest).ok().flatten() {
        let end = rest.len().min(start + size);
        body.extend_from_slice(&rest[start..end]);
        rest = rest.get(start + size + 2..).unwrap_or_default();
    }
    body
}

fn parse_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some((size, start)) = chunk_size(&bytes[at..])? else { return Ok(None) };
        let Some(data) = bytes.get(at + start..at + start + size + 2) else { return Ok(None) };
        if &data[size..] != b"\r\n" {
            return Err("a chunk without its end".to_owned());
        }
        body.extend_from_slice(&data[..size]);
        at += start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// The size of the chunk at the front, and where its data begins.
fn chunk_size(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let size = usize::from_str_radix(&text, 16).map_err(|_| format!("a chunk size: {text:?}"))?;
    Ok(Some((size, end + 2)))
}

fn field_line(line: &str) -> Result<(String, String), String> {
    let is_token = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    match line.split_once(':') {
        Some((name, value)) if is_token(name) => Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned())),
        _ => Err(format!("a field line: {line:?}")),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
