//! Access tokens in the shape of TSD's: a JWT of three base64url parts whose payload carries `exp`.
//!
//! They are signed (HS256) with a key made at start, so nothing is kept per token: any number may be issued, a forged
//! one is refused, and so is one from before a restart. `exp` is whole seconds, as clients expect of a JWT, and rounded
//! up, so a token lives at least as long as was asked and up to a second longer.
//!
//! Trap: the header's `alg` is never read. A verifier that believes it can be talked into `none`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// Not one of ours, or changed on its way.
    Unknown,
    /// Ours, but its time is over.
    Expired,
}

/// Issues and checks the tokens of one store.
pub(super) struct Mint {
    secret: [u8; 32],
    project: String,
    life: Duration,
}

impl Mint {
    /// A mint with a fresh random key.
    pub(super) fn new(project: &str, life: Duration) -> Self {
        let mut secret = [0; 32];
        let (left, right) = secret.split_at_mut(16);
        left.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        right.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        Self { secret, project: project.to_owned(), life }
    }

    /// A token good from `now` for the mint's life. No two are alike.
    pub(super) fn issue(&self, now: SystemTime) -> String {
        let payload = json!({
            "iat": seconds(now),
            "exp": seconds(now + self.life + Duration::from_nanos(999_999_999)),
            "proj": self.project,
            "jti": uuid::Uuid::new_v4().to_string(),
        });
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(&self.secret, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Whether `token` is ours and unexpired at `now`.
    pub(super) fn check(&self, token: &str, now: SystemTime) -> Result<(), Bad> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Bad::Unknown)?;
        let expected = hmac_sha256(&self.secret, signed.as_bytes());
        if URL_SAFE_NO_PAD.decode(signature).ok().as_deref() != Some(&expected[..]) {
            return Err(Bad::Unknown);
        }
        let (_, payload) = signed.split_once('.').ok_or(Bad::Unknown)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Bad::Unknown)?;
        let payload: Value = serde_json::from_slice(&payload).map_err(|_| Bad::Unknown)?;
        let exp = payload["exp"].as_u64().ok_or(Bad::Unknown)?;
        if seconds(now) >= exp { Err(Bad::Expired) } else { Ok(()) }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// HMAC-SHA256 (RFC 2104).
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_matches_rfc_4231() {
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_token_lives_as_long_as_asked_and_dies_after() {
        let mint = Mint::new("p22", Duration::from_secs(3600));
        let born = UNIX_EPOCH + Duration::from_millis(1_700_000_000_400);
        let token = mint.issue(born);
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(mint.check(&token, born), Ok(()));
        assert_eq!(mint.check(&token, born + Duration::from_secs(3600)), Ok(()));
        assert_eq!(mint.check(&token, born + Duration::from_secs(3601)), Err(Bad::Expired));
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["exp"], 1_700_003_601);
        assert_eq!(payload["proj"], "p22");
    }

    #[test]
    fn forged_tokens_are_unknown() {
        let mint = Mint::new("p22", Duration::from_secs(60));
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let token = mint.issue(now);
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(br#"{"exp":99999999999}"#);
        let forged = parts.join(".");
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#), parts[1]);
        let foreign = Mint::new("p22", Duration::from_secs(60)).issue(now);
        for bad in ["", "x", "a.b.c", &forged, &unsigned, &foreign] {
            assert_eq!(mint.check(bad, now), Err(Bad::Unknown), "{bad}");
        }
        assert_ne!(token, mint.issue(now));
    }
}
