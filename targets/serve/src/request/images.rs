//! An image in a request: the bytes of a `data:` URI. Nothing else is fetched or opened.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use curt::vision::Image;

use crate::options::Limits;
use crate::refusal::Refusal;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The image in `url`, which is the field `name`.
pub(super) fn image(name: &str, url: &str, limits: &Limits) -> Result<Image, Refusal> {
    const EXPECTED: &str = "data:image/…;base64,… (this server fetches nothing)";
    let Some(rest) = url.strip_prefix("data:") else {
        let scheme = url
            .split(':')
            .next()
            .filter(|scheme| scheme.len() < url.len());
        let got = match scheme {
            Some(scheme) if scheme.len() <= 16 => format!("an address of {scheme:?}"),
            _ => "something else".into(),
        };
        return Err(Refusal::field(name, EXPECTED, got));
    };
    let Some((head, data)) = rest.split_once(',') else {
        return Err(Refusal::field(name, EXPECTED, "no comma"));
    };
    if !head.starts_with("image/") || !head.ends_with(";base64") {
        return Err(Refusal::field(name, EXPECTED, "another kind of data"));
    }
    // Four letters are three bytes.
    let bytes = data.len() / 4 * 3;
    if bytes > limits.image_bytes {
        let expected = format!("at most {} bytes", limits.image_bytes);
        return Err(Refusal {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Refusal::field(name, expected, bytes)
        });
    }
    match BASE64.decode(data) {
        Ok(bytes) => Ok(Image::Encoded {
            name: name.into(),
            bytes: bytes.into(),
        }),
        Err(error) => Err(Refusal::field(name, "base64", error)),
    }
}
