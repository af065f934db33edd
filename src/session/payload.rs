//! A session as the bytes inside its seal, in each format that was ever written.
//!
//! What every request needs is read at once; the refresh token, the ID token and its claims are read when somebody
//! asks for them, for most requests never do.

use std::sync::OnceLock;

use minicbor::Decoder;

use crate::clock::UnixTime;
use crate::secret::{IdToken, RefreshToken, SecretBytes, SecretString};
use crate::session::wire::compression::{CODEC_ZSTD_1, Compressed, compress};
use crate::session::wire::{
    CODEC_PLAIN, MapWriter, Opaque, UnknownMembers, WireError, read_list, read_map, read_members, read_token,
};
use crate::session::{Generation, ProviderId, Session, SessionId, StoredAccessToken};

/// Tags of the payload's members. A number is never used again for something else. In a compressed payload the members
/// up to the access tokens are in the first map, the four behind them in the second. Tokens may stand at these tags
/// only: a later release that keeps them elsewhere takes a new codec number.
mod tag {
    pub const ISSUER: u32 = 0;
    pub const CLIENT_ID: u32 = 1;
    pub const SID: u32 = 2;
    pub const GENERATION: u32 = 3;
    pub const ISSUED_AT: u32 = 4;
    pub const ABSOLUTE_END: u32 = 5;
    pub const ACCESS_TOKENS: u32 = 6;
    pub const REFRESH_TOKEN: u32 = 7;
    pub const ID_TOKEN: u32 = 8;
    pub const CLAIMS: u32 = 9;
    pub const USERINFO: u32 = 10;

    pub const ACCESS_TOKEN: u32 = 0;
    pub const OBTAINED_AT: u32 = 1;
    pub const EXPIRES_AT: u32 = 2;
    pub const SCOPE: u32 = 3;
    pub const AUDIENCE: u32 = 4;
    pub const RESOURCE: u32 = 5;
    pub const ASKED_SCOPE: u32 = 6;
}

/// How sessions are written. The number is that of the codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteFormat {
    /// 0: one map, not compressed. Every release reads it.
    Plain,
    /// 1: the readable parts of tokens compressed with the first dictionary.
    #[default]
    Zstd1,
}

/// What only login, refresh, logout and the user endpoint look at.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) id_token: Option<IdToken>,
    /// The ID token's verified claims as JSON, where the ID token itself is left out.
    pub(super) claims: Option<SecretString>,
    /// What UserInfo says beside the ID token, as JSON.
    pub(super) userinfo: Option<SecretString>,
    pub(super) unknown: UnknownMembers,
}

/// A [`Rest`] that may not have been read yet.
#[derive(Clone)]
pub(super) struct Deferred {
    rest: OnceLock<Rest>,
    packed: Option<Packed>,
}

#[derive(Clone)]
struct Packed {
    plaintext: SecretBytes,
    /// Where the second map begins among the inflated bytes.
    second: usize,
    /// How many of the opaque bytes are the first map's.
    opaque: usize,
}

impl From<Rest> for Deferred {
    fn from(rest: Rest) -> Self {
        Self { rest: rest.into(), packed: None }
    }
}

impl PartialEq for Deferred {
    fn eq(&self, other: &Self) -> bool {
        self.whole() == other.whole()
    }
}

impl Eq for Deferred {}

impl Deferred {
    /// Reads it now, if it was not.
    pub(super) fn whole(&self) -> &Rest {
        self.rest.get_or_init(|| {
            let read = self.packed.as_ref().map_or_else(|| Ok(Rest::default()), Packed::read);
            // The bytes are what a replica sealed, so this is a fault of that release or of this one; the session
            // then ends when its access token does.
            read.inspect_err(|error| tracing::error!(%error, "a session's refresh token cannot be read"))
                .unwrap_or_default()
        })
    }
}

impl Packed {
    fn read(&self) -> Result<Rest, WireError> {
        let compressed = Compressed::read(&self.plaintext[1..])?;
        let maps = compressed.both()?;
        let second = maps.get(self.second..).ok_or(WireError::Malformed)?;
        let mut opaque = Opaque::new(compressed.opaque.get(self.opaque..).ok_or(WireError::Malformed)?);
        let mut rest = Rest::default();
        rest.unknown = read_map(second, |tag, decoder| match tag {
            tag::ISSUER..=tag::ACCESS_TOKENS => Err(WireError::Malformed),
            _ => rest.read(tag, decoder, &mut opaque),
        })?;
        Ok(rest)
    }
}

impl Session {
    /// The plaintext to seal. What does not get smaller by compression is written plain in any case.
    pub fn encode(&self, format: WriteFormat) -> SecretBytes {
        let compressed = match format {
            WriteFormat::Plain => None,
            WriteFormat::Zstd1 => {
                let [first, second, opaque] = self.maps_and_opaque();
                compress(&first, &second, &opaque)
            }
        };
        compressed.unwrap_or_else(|| {
            let (mut map, rest) = (MapWriter::default(), self.rest.whole());
            self.write_first(&mut map);
            rest.write(&mut map);
            // Behind all that is known, where a reader of one map finds them all the same.
            map.unknown(&self.unknown);
            map.unknown(&rest.unknown);
            map.finish_plain()
        })
    }

    /// The two maps, and what was left out of them.
    fn maps_and_opaque(&self) -> [SecretBytes; 3] {
        let mut first = MapWriter::beside(SecretBytes::default());
        self.write_first(&mut first);
        first.unknown(&self.unknown);
        let (first, opaque) = first.into_parts();
        let (mut second, rest) = (MapWriter::beside(opaque.unwrap_or_default()), self.rest.whole());
        rest.write(&mut second);
        second.unknown(&rest.unknown);
        let (second, opaque) = second.into_parts();
        [first, second, opaque.unwrap_or_default()]
    }

    fn write_first(&self, map: &mut MapWriter) {
        map.text(tag::ISSUER, &self.provider.issuer);
        map.text(tag::CLIENT_ID, &self.provider.client_id);
        map.random(tag::SID, &self.sid.0);
        map.unsigned(tag::GENERATION, self.generation.0);
        map.integer(tag::ISSUED_AT, self.issued_at.as_secs());
        map.integer(tag::ABSOLUTE_END, self.absolute_end.as_secs());
        map.maps(tag::ACCESS_TOKENS, &self.access_tokens, write_access_token);
    }

    /// Reads what [`Session::encode`] wrote, in this release or another.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn decode(plaintext: impl Into<SecretBytes>) -> Result<Self, WireError> {
        let plaintext = plaintext.into();
        match plaintext.as_slice() {
            [CODEC_PLAIN, map @ ..] => Self::decode_plain(map),
            [CODEC_ZSTD_1, ..] => Self::decode_compressed(plaintext),
            _ => Err(WireError::UnknownCodec),
        }
    }

    fn decode_plain(map: &[u8]) -> Result<Self, WireError> {
        let (mut first, mut rest, mut opaque) = (FirstMembers::default(), Rest::default(), Opaque::new(&[]));
        rest.unknown = read_map(map, |tag, decoder| {
            Ok(first.read(tag, decoder, &mut opaque)? || rest.read(tag, decoder, &mut opaque)?)
        })?;
        first.finish(UnknownMembers::default(), rest.into())
    }

    fn decode_compressed(plaintext: SecretBytes) -> Result<Self, WireError> {
        let compressed = Compressed::read(&plaintext[1..])?;
        let map = compressed.first()?;
        let (mut first, mut opaque) = (FirstMembers::default(), Opaque::new(compressed.opaque));
        let unknown = read_map(&map, |tag, decoder| match tag {
            tag::REFRESH_TOKEN..=tag::USERINFO => Err(WireError::Malformed),
            _ => first.read(tag, decoder, &mut opaque),
        })?;
        let opaque = compressed.opaque.len() - opaque.left();
        let packed = Packed { second: map.len(), opaque, plaintext };
        first.finish(unknown, Deferred { rest: OnceLock::new(), packed: Some(packed) })
    }
}

fn write_access_token(map: &mut MapWriter, stored: &StoredAccessToken) {
    map.token(tag::ACCESS_TOKEN, stored.token.expose());
    map.integer(tag::OBTAINED_AT, stored.obtained_at.as_secs());
    map.integer(tag::EXPIRES_AT, stored.expires_at.as_secs());
    map.optional_text(tag::SCOPE, stored.scope.as_deref());
    map.optional_text(tag::AUDIENCE, stored.audience.as_deref());
    map.optional_text(tag::RESOURCE, stored.resource.as_deref());
    map.optional_text(tag::ASKED_SCOPE, stored.asked_scope.as_deref());
    map.unknown(&stored.unknown);
}

impl Rest {
    fn write(&self, map: &mut MapWriter) {
        map.optional_token(tag::REFRESH_TOKEN, self.refresh_token.as_ref().map(RefreshToken::expose));
        map.optional_token(tag::ID_TOKEN, self.id_token.as_ref().map(IdToken::expose));
        map.optional_text(tag::CLAIMS, self.claims.as_ref().map(|claims| claims.expose()));
        map.optional_text(tag::USERINFO, self.userinfo.as_ref().map(|claims| claims.expose()));
    }

    fn read<'b>(&mut self, tag: u32, decoder: &mut Decoder<'b>, opaque: &mut Opaque<'b>) -> Result<bool, WireError> {
        match tag {
            tag::REFRESH_TOKEN => self.refresh_token = Some(read_token(decoder, opaque)?.into()),
            tag::ID_TOKEN => self.id_token = Some(read_token(decoder, opaque)?.into()),
            tag::CLAIMS => self.claims = Some(SecretString::new(decoder.str()?)),
            tag::USERINFO => self.userinfo = Some(SecretString::new(decoder.str()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct FirstMembers {
    issuer: Option<String>,
    client_id: Option<String>,
    sid: Option<SessionId>,
    generation: Option<Generation>,
    issued_at: Option<UnixTime>,
    absolute_end: Option<UnixTime>,
    access_tokens: Option<Vec<StoredAccessToken>>,
}

impl FirstMembers {
    fn read<'b>(&mut self, tag: u32, decoder: &mut Decoder<'b>, opaque: &mut Opaque<'b>) -> Result<bool, WireError> {
        match tag {
            tag::ISSUER => self.issuer = Some(decoder.str()?.to_owned()),
            tag::CLIENT_ID => self.client_id = Some(decoder.str()?.to_owned()),
            tag::SID => {
                let bytes = opaque.read_random(decoder)?;
                self.sid = Some(SessionId(bytes.try_into().map_err(|_| WireError::Malformed)?));
            }
            tag::GENERATION => self.generation = Some(Generation(decoder.u64()?)),
            tag::ISSUED_AT => self.issued_at = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::ABSOLUTE_END => self.absolute_end = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::ACCESS_TOKENS => {
                self.access_tokens = Some(read_list(decoder, |decoder| read_access_token(decoder, opaque))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self, unknown: UnknownMembers, rest: Deferred) -> Result<Session, WireError> {
        Ok(Session {
            provider: ProviderId {
                issuer: self.issuer.ok_or(WireError::Missing(tag::ISSUER))?,
                client_id: self.client_id.ok_or(WireError::Missing(tag::CLIENT_ID))?,
            },
            sid: self.sid.ok_or(WireError::Missing(tag::SID))?,
            generation: self.generation.ok_or(WireError::Missing(tag::GENERATION))?,
            issued_at: self.issued_at.ok_or(WireError::Missing(tag::ISSUED_AT))?,
            absolute_end: self.absolute_end.ok_or(WireError::Missing(tag::ABSOLUTE_END))?,
            access_tokens: self.access_tokens.ok_or(WireError::Missing(tag::ACCESS_TOKENS))?,
            unknown,
            rest,
        })
    }
}

fn read_access_token<'b>(decoder: &mut Decoder<'b>, opaque: &mut Opaque<'b>) -> Result<StoredAccessToken, WireError> {
    let (mut token, mut obtained_at, mut expires_at) = (None, None, None);
    let (mut scope, mut audience, mut resource, mut asked_scope) = (None, None, None, None);
    let unknown = read_members(decoder, |tag, decoder| {
        match tag {
            tag::ACCESS_TOKEN => token = Some(read_token(decoder, opaque)?.into()),
            tag::OBTAINED_AT => obtained_at = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::EXPIRES_AT => expires_at = Some(UnixTime::from_secs(decoder.i64()?)),
            tag::SCOPE => scope = Some(decoder.str()?.to_owned()),
            tag::AUDIENCE => audience = Some(decoder.str()?.to_owned()),
            tag::RESOURCE => resource = Some(decoder.str()?.to_owned()),
            tag::ASKED_SCOPE => asked_scope = Some(decoder.str()?.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(StoredAccessToken {
        token: token.ok_or(WireError::Missing(tag::ACCESS_TOKEN))?,
        obtained_at: obtained_at.ok_or(WireError::Missing(tag::OBTAINED_AT))?,
        expires_at: expires_at.ok_or(WireError::Missing(tag::EXPIRES_AT))?,
        scope,
        audience,
        resource,
        asked_scope,
        unknown,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod training;
