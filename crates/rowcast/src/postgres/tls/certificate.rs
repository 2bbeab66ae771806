//! The few things that must be read from a certificate (RFC 5280) and that rustls does not tell.

use rustls::pki_types::UnixTime;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The parts of a certificate that are needed here.
pub(super) struct Certificate<'a> {
    /// The public key, as a whole `SubjectPublicKeyInfo`.
    pub(super) key: &'a [u8],
    /// The subject's last common name.
    pub(super) common_name: Option<&'a str>,
    /// Whether it names its hosts in the way that replaced common names.
    pub(super) alternative_names: bool,
    /// Whether its subject is its issuer.
    pub(super) signed_itself: bool,
    /// Seconds since 1970.
    not_before: u64,
    not_after: u64,
    signature: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];
/// RSA with PKCS #1 and ECDSA, each with the hash's number after it.
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03];

impl<'a> Certificate<'a> {
    /// `None` for what is no certificate.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (body, algorithm) = {
            let mut whole = Reader(Reader(der).expect(SEQUENCE)?);
            (whole.expect(SEQUENCE)?, whole.expect(SEQUENCE)?)
        };
        let signature = Reader(algorithm).expect(0x06)?;
        let mut body = Reader(body);
        body.optional(0xA0);
        body.expect(0x02)?;
        body.expect(SEQUENCE)?;
        let issuer = body.expect(SEQUENCE)?;
        let mut validity = Reader(body.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = body.expect(SEQUENCE)?;
        let from = body.0;
        body.expect(SEQUENCE)?;
        let key = &from[..from.len() - body.0.len()];
        body.optional(0x81);
        body.optional(0x82);
        let alternative_names = body.optional(0xA3).is_some_and(has_alternative_names);
        let (common_name, signed_itself) = (common_name(subject), subject == issuer);
        Some(Self { key, common_name, alternative_names, signed_itself, not_before, not_after, signature })
    }

    /// Whether it may be used now.
    pub(super) fn is_current(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_secs())
    }

    /// Whether the common name is `host`, or `*.` and the rest of it.
    pub(super) fn is_of(&self, host: &str) -> bool {
        let rest = host.split_once('.').map(|(_, rest)| rest);
        self.common_name.is_some_and(|name| {
            let wildcard =
                name.strip_prefix("*.").zip(rest).is_some_and(|(name, rest)| name.eq_ignore_ascii_case(rest));
            wildcard || name.eq_ignore_ascii_case(host)
        })
    }
}

/// What binds a password exchange to a channel with this certificate: `tls-server-end-point` of RFC 5929.
pub(super) fn end_point(der: &[u8]) -> Option<Vec<u8>> {
    let signature = Certificate::read(der)?.signature;
    let of = |family: &[u8]| signature.strip_prefix(family);
    match (of(RSA), of(ECDSA)) {
        (Some([12]), _) | (_, Some([3])) => Some(Sha384::digest(der).to_vec()),
        (Some([13]), _) | (_, Some([4])) => Some(Sha512::digest(der).to_vec()),
        // MD5 and SHA-1 are replaced by SHA-256.
        (Some([4 | 5 | 11]), _) | (_, Some([2])) => Some(Sha256::digest(der).to_vec()),
        _ => None,
    }
}

/// The elements of a DER text, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    fn optional(&mut self, wanted: u8) -> Option<&'a [u8]> {
        if *self.0.first()? == wanted { self.expect(wanted) } else { None }
    }
}

fn common_name(subject: &[u8]) -> Option<&str> {
    let mut found = None;
    let mut sets = Reader(subject);
    while let Some((_, set)) = sets.next() {
        let mut pairs = Reader(set);
        while let Some((_, pair)) = pairs.next() {
            let mut pair = Reader(pair);
            if pair.expect(0x06)? == COMMON_NAME {
                found = std::str::from_utf8(pair.next()?.1).ok();
            }
        }
    }
    found
}

fn has_alternative_names(extensions: &[u8]) -> bool {
    let mut extensions = Reader(Reader(extensions).expect(SEQUENCE).unwrap_or_default());
    std::iter::from_fn(|| extensions.next())
        .any(|(_, extension)| Reader(extension).expect(0x06) == Some(ALTERNATIVE_NAMES))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as seconds since 1970.
fn time((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => text.split_at_checked(2).and_then(|(year, rest)| {
            let year: u64 = year.parse().ok()?;
            Some((if year < 50 { 2000 + year } else { 1900 + year }, rest))
        })?,
        0x18 => text.split_at_checked(4).and_then(|(year, rest)| Some((year.parse().ok()?, rest)))?,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    // Years begin in March here, so that a leap day is the last of its year. 1970 began 719,468 days after March 1st of year 0.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day.checked_sub(1)?;
    Some(days.saturating_sub(719_468) * 86_400 + seconds)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn reads_what_rcgen_writes() {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "*.Example.org");
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("signed").der().to_vec();
        let read = Certificate::read(&der).expect("a certificate");
        assert_eq!((read.not_before, read.not_after), (1_709_164_800, 2_561_241_600));
        assert!(!read.alternative_names);
        assert!(read.is_of("db.example.ORG") && !read.is_of("example.org") && !read.is_of("a.b.example.org"));
        assert_eq!(read.key, rcgen::PublicKeyData::subject_public_key_info(&key));
        assert_eq!(end_point(&der), Some(Sha256::digest(&der).to_vec()));

        let named = CertificateParams::new(vec!["db".to_owned()]).expect("parameters");
        let der = named.self_signed(&key).expect("signed").der().to_vec();
        assert!(Certificate::read(&der).expect("a certificate").alternative_names);
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let key = KeyPair::generate().expect("a key");
        let der = CertificateParams::default().self_signed(&key).expect("signed").der().to_vec();
        for end in 0..der.len() {
            assert!(Certificate::read(&der[..end]).is_none(), "{end}");
        }
    }
}
