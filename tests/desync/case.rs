//! What a case is made of, and the words that the tables are written in.

use crate::message::Response;

/// One case: a raw exchange through a session route.
pub struct Case {
    /// What it is about; unique.
    pub name: &'static str,
    /// The client's bytes. `{path}` is the route, `{own}` the fields of a good request with `Host`, `{auth}` those without;
    /// at `{wait}` the client waits until the upstream has seen a request's head.
    pub sends: String,
    /// Which of the expected answers are to HEAD, and so have no body.
    pub heads: &'static [usize],
    /// What the upstream answers to its first request, to its second, and so on; the last one for ever.
    pub upstream: Vec<Answer>,
    /// The requests that the upstream saw, without the fields that every request has by us. What broke off ends with `…`.
    pub seen: Vec<String>,
    /// The answers that the client got.
    pub got: Vec<Got>,
    /// Whether the client's connection takes a further request.
    pub stays_open: bool,
    /// What the next client gets, on a connection of its own.
    pub next: Option<Got>,
}

/// One answer of the upstream.
#[derive(Clone)]
pub struct Answer {
    /// Its bytes.
    pub bytes: String,
    /// Whether it comes as soon as the request's head is there.
    pub early: bool,
    /// What follows.
    pub then: Then,
    /// What comes on the idle connection when the test says so.
    pub late: &'static str,
}

/// What an upstream does when it has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Waits for the next request.
    Keep,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// An answer that is expected.
#[derive(Debug)]
pub struct Got {
    status: u16,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Is(&'static str),
    Problem(&'static str),
    BreaksOffWithin(&'static str),
    WithField(&'static str, &'static str),
}

/// The answer of an upstream that nothing is wrong with.
pub const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// A case in which a fine upstream sees nothing, and the client nothing, until the rest is said.
pub fn case(name: &'static str) -> Case {
    Case {
        name,
        sends: "GET {path}/x HTTP/1.1\r\n{own}\r\n".to_owned(),
        heads: &[],
        upstream: vec![answer(FINE)],
        seen: Vec::new(),
        got: Vec::new(),
        stays_open: true,
        next: None,
    }
}

/// An answer to a whole request, on a connection that stays open.
pub fn answer(bytes: impl Into<String>) -> Answer {
    Answer { bytes: bytes.into(), early: false, then: Then::Keep, late: "" }
}

impl Answer {
    /// The connection ends behind it.
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// This follows it when the connection is idle.
    pub fn late(self, late: &'static str) -> Self {
        Self { late, ..self }
    }

    /// It does not wait for the request's body.
    pub fn early(self) -> Self {
        Self { early: true, ..self }
    }
}

impl Case {
    /// The client's bytes.
    pub fn sends(self, bytes: impl Into<String>) -> Self {
        Self { sends: bytes.into(), ..self }
    }

    /// As `sends`, for a good request but for one further field line.
    pub fn sends_get_with(self, line: &str) -> Self {
        self.sends(format!("GET {{path}}/x HTTP/1.1\r\n{{own}}{line}\r\n\r\n"))
    }

    /// As `sends`, for a good POST but for these field lines and this body.
    pub fn sends_post(self, lines: &str, body: &str) -> Self {
        self.sends(format!("POST {{path}}/x HTTP/1.1\r\n{{own}}{lines}\r\n\r\n{body}"))
    }

    /// Which answers are to HEAD.
    pub fn heads(self, heads: &'static [usize]) -> Self {
        Self { heads, ..self }
    }

    /// The upstream's answers.
    pub fn upstream<const N: usize>(self, answers: [Answer; N]) -> Self {
        Self { upstream: answers.into(), ..self }
    }

    /// A request that the upstream saw.
    pub fn seen(mut self, request: impl Into<String>) -> Self {
        self.seen.push(request.into());
        self
    }

    /// The upstream saw a bare GET.
    pub fn seen_get(self) -> Self {
        self.seen("GET {path}/x HTTP/1.1\r\n\r\n")
    }

    /// An answer that the client got.
    pub fn got(mut self, answer: Got) -> Self {
        self.got.push(answer);
        self
    }

    /// The connection is closed behind the last answer.
    pub fn closed(self) -> Self {
        Self { stays_open: false, ..self }
    }

    /// What the next client gets.
    pub fn next(self, answer: Got) -> Self {
        Self { next: Some(answer), ..self }
    }
}

/// An answer with this body.
pub fn got(status: u16, body: &'static str) -> Got {
    Got { status, body: Body::Is(body) }
}

/// The fine upstream's answer.
pub fn fine() -> Got {
    got(200, "fine")
}

/// An answer of ours, of that type.
pub fn problem(status: u16, kind: &'static str) -> Got {
    Got { status, body: Body::Problem(kind) }
}

/// An answer whose body is visibly not whole, and of which no more than this has come.
pub fn broken(status: u16, most: &'static str) -> Got {
    Got { status, body: Body::BreaksOffWithin(most) }
}

/// An answer without a body and with this field.
pub fn with_field(status: u16, name: &'static str, value: &'static str) -> Got {
    Got { status, body: Body::WithField(name, value) }
}

impl Got {
    /// Whether that is what came.
    pub fn matches(&self, response: &Response) -> bool {
        let whole = response.whole && response.status == self.status;
        match self.body {
            Body::Is(body) => whole && response.body == body,
            Body::Problem(kind) => whole && response.body.contains(&format!("\"urn:sealgate:error:{kind}\"")),
            Body::WithField(name, value) => whole && response.body.is_empty() && response.fields(name) == [value],
            Body::BreaksOffWithin(most) => {
                !response.whole && response.status == self.status && most.starts_with(&response.body)
            }
        }
    }
}
