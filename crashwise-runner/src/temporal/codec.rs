//! Payloads on their way to the server, encrypted with AES-256-GCM where a key is given.

use futures::FutureExt;
use futures::future::BoxFuture;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use temporalio_common::data_converters::{
    DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConversionError, PayloadConverter,
    SerializationContextData,
};
use temporalio_common::protos::temporal::api::common::v1::Payload;

/// What an encrypted payload says of itself.
const ENCODING: &[u8] = b"binary/encrypted";

/// What else than a payload has the same key cannot be taken for one.
const PURPOSE: &[u8] = b"crashwise payload 1";

/// The converter of payloads. With a key, also the texts of failures are encrypted.
pub(super) fn converter(key: Option<[u8; 32]>) -> DataConverter {
    let Some(cipher) = key.and_then(|key| Cipher::new(&key)) else { return DataConverter::default() };
    DataConverter::new(PayloadConverter::default(), DefaultFailureConverter::new(true), cipher)
}

#[derive(Clone)]
struct Cipher {
    key: Arc<LessSafeKey>,
    random: SystemRandom,
}

impl Cipher {
    fn new(key: &[u8; 32]) -> Option<Self> {
        // Every 32 bytes are a key.
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self { key: Arc::new(LessSafeKey::new(key)), random: SystemRandom::new() })
    }

    fn seal(&self, payload: &Payload) -> Result<Payload, PayloadConversionError> {
        let failed = || PayloadConversionError::EncodingError("a payload could not be encrypted".into());
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut data = framed(payload);
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(sealing, Aad::from(PURPOSE), &mut data).map_err(|_| failed())?;
        let metadata = HashMap::from([("encoding".to_owned(), ENCODING.to_vec())]);
        Ok(Payload { metadata, data: [&nonce[..], &data].concat(), ..Payload::default() })
    }

    fn open(&self, payload: Payload) -> Result<Payload, PayloadConversionError> {
        if payload.metadata.get("encoding").map(Vec::as_slice) != Some(ENCODING) {
            return Ok(payload);
        }
        let failed = || {
            let text = "a payload could not be decrypted: it was encrypted with another key, or changed";
            PayloadConversionError::EncodingError(text.into())
        };
        let (nonce, data) = payload.data.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut data = data.to_vec();
        let open = self.key.open_in_place(nonce, Aad::from(PURPOSE), &mut data).map_err(|_| failed())?;
        unframed(open).ok_or_else(failed)
    }
}

impl PayloadCodec for Cipher {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        let sealed = payloads.iter().map(|payload| self.seal(payload)).collect();
        std::future::ready(sealed).boxed()
    }

    fn decode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        let opened = payloads.into_iter().map(|payload| self.open(payload)).collect();
        std::future::ready(opened).boxed()
    }
}

/// A payload as bytes: the number of its metadata, each key and value, and its data, with their lengths.
fn framed(payload: &Payload) -> Vec<u8> {
    let metadata: BTreeMap<_, _> = payload.metadata.iter().collect();
    let mut out = Vec::with_capacity(payload.data.len() + 64);
    out.extend((metadata.len() as u64).to_le_bytes());
    let parts = metadata.into_iter().flat_map(|(key, value)| [key.as_bytes(), value]);
    for part in parts.chain([&payload.data[..]]) {
        out.extend((part.len() as u64).to_le_bytes());
        out.extend(part);
    }
    out
}

fn unframed(mut bytes: &[u8]) -> Option<Payload> {
    fn number(bytes: &mut &[u8]) -> Option<usize> {
        let (number, rest) = bytes.split_at_checked(8)?;
        *bytes = rest;
        usize::try_from(u64::from_le_bytes(number.try_into().ok()?)).ok()
    }
    fn part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let length = number(bytes)?;
        let (part, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(part.to_vec())
    }
    let count = number(&mut bytes)?;
    let mut metadata = HashMap::new();
    for _ in 0..count {
        let key = String::from_utf8(part(&mut bytes)?).ok()?;
        metadata.insert(key, part(&mut bytes)?);
    }
    let data = part(&mut bytes)?;
    bytes.is_empty().then(|| Payload { metadata, data, ..Payload::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(data: &[u8]) -> Payload {
        let metadata = HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]);
        Payload { metadata, data: data.to_vec(), ..Payload::default() }
    }

    #[test]
    fn payloads_come_back_and_say_nothing_on_the_way() {
        let cipher = Cipher::new(&[7; 32]).unwrap();
        for data in [&b""[..], b"\"a secret\"", &vec![0xff; 100_000]] {
            let sealed = cipher.seal(&payload(data)).unwrap();
            assert_ne!(sealed, cipher.seal(&payload(data)).unwrap(), "no two are the same");
            assert!(!sealed.data.windows(8).any(|part| part == b"a secret"));
            assert_eq!(cipher.open(sealed).unwrap(), payload(data));
        }
        assert_eq!(cipher.open(payload(b"plain")).unwrap(), payload(b"plain"));
    }

    #[test]
    fn changed_and_foreign_payloads_are_refused() {
        let cipher = Cipher::new(&[7; 32]).unwrap();
        let sealed = cipher.seal(&payload(b"{}")).unwrap();
        for at in 0..sealed.data.len() {
            let mut changed = sealed.clone();
            changed.data[at] ^= 1;
            assert!(cipher.open(changed).is_err(), "byte {at}");
        }
        for length in 0..sealed.data.len() {
            let mut cut = sealed.clone();
            cut.data.truncate(length);
            assert!(cipher.open(cut).is_err(), "cut to {length}");
        }
        assert!(Cipher::new(&[8; 32]).unwrap().open(sealed).is_err());
    }
}
