//! Pictures: decoded within bounds, turned as their cameras say, made smaller.

use std::io::Cursor;

use bytes::Bytes;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use rowcast::protocol::{Code, Problem};

/// The longest side of what is shown in a talk.
pub(crate) const THUMBNAIL: u32 = 480;
/// The longest side of the picture of a person or a group.
pub(crate) const PORTRAIT: u32 = 512;

/// Pixels of the largest picture that is decoded.
const PIXELS_MAX: u64 = 50_000_000;
/// Bytes that decoding may take, which is also what is decoded.
const MEMORY_MAX: u64 = 256 << 20;
const JPEG_QUALITY: u8 = 84;

/// A picture as it is shown.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The same, no larger than was asked for. `None`: it is small enough as it is.
    pub(crate) smaller: Option<Encoded>,
}

/// A picture's bytes.
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) kind: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

fn format(kind: &str) -> Option<ImageFormat> {
    Some(match kind {
        "image/png" => ImageFormat::Png,
        "image/jpeg" => ImageFormat::Jpeg,
        "image/webp" => ImageFormat::WebP,
        "image/gif" => ImageFormat::Gif,
        _ => return None,
    })
}

/// Looks at a picture, and makes it smaller where a side is longer than `side`. Takes its time.
pub(crate) fn look(bytes: &Bytes, kind: &str, side: u32) -> Result<Picture, Problem> {
    let image = decode(bytes, kind)?;
    let (width, height) = (image.width(), image.height());
    let smaller = (width > side || height > side).then(|| encode(image.thumbnail(side, side))).transpose()?;
    Ok(Picture { width, height, smaller })
}

/// The picture of a person or a group: always written anew, so that nothing is left of what else was in the file.
pub(crate) fn portrait(bytes: &Bytes, kind: &str) -> Result<Encoded, Problem> {
    let image = decode(bytes, kind)?;
    let is_large = image.width() > PORTRAIT || image.height() > PORTRAIT;
    encode(if is_large { image.thumbnail(PORTRAIT, PORTRAIT) } else { image })
}

fn decode(bytes: &Bytes, kind: &str) -> Result<DynamicImage, Problem> {
    let format = format(kind).ok_or_else(|| unreadable("it is no picture"))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(of_image)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > MEMORY_MAX {
        return Err(too_large());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(of_image)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn encode(image: DynamicImage) -> Result<Encoded, Problem> {
    let (width, height) = (image.width(), image.height());
    let mut bytes = Cursor::new(Vec::new());
    let kind = if image.color().has_alpha() {
        image.into_rgba8().write_to(&mut bytes, ImageFormat::Png).map_err(of_image)?;
        "image/png"
    } else {
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        image.into_rgb8().write_with_encoder(encoder).map_err(of_image)?;
        "image/jpeg"
    };
    Ok(Encoded { bytes: bytes.into_inner().into(), kind, width, height })
}

fn of_image(error: ImageError) -> Problem {
    match error {
        ImageError::Limits(_) => too_large(),
        _ => unreadable("it cannot be decoded"),
    }
}

fn unreadable(why: &str) -> Problem {
    let problem = Problem::new(Code::UnsupportedMediaType, format!("this picture cannot be read: {why}"));
    problem.hint("send a PNG, JPEG, WebP or GIF")
}

fn too_large() -> Problem {
    let message = format!("this picture has too many pixels; the largest may have {} million", PIXELS_MAX / 1_000_000);
    Problem::new(Code::TooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32, alpha: bool) -> Bytes {
        let image = match alpha {
            true => DynamicImage::new_rgba8(width, height),
            false => DynamicImage::new_rgb8(width, height),
        };
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
        bytes.into_inner().into()
    }

    /// A PNG's header that promises more than there is: its checksum is right.
    fn claiming(width: u32, height: u32) -> Bytes {
        let mut png = png(1, 1, true).to_vec();
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        png.into()
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[test]
    fn a_large_picture_gets_a_smaller_one_of_the_same_shape() {
        let picture = look(&png(1200, 600, false), "image/png", THUMBNAIL).expect("a picture");
        assert_eq!((picture.width, picture.height), (1200, 600));
        let smaller = picture.smaller.expect("a smaller one");
        assert_eq!((smaller.width, smaller.height, smaller.kind), (480, 240, "image/jpeg"));
        assert!(look(&png(480, 10, false), "image/png", THUMBNAIL).expect("a picture").smaller.is_none());
    }

    #[test]
    fn what_can_be_seen_through_stays_so() {
        let portrait = portrait(&png(900, 900, true), "image/png").expect("a portrait");
        assert_eq!((portrait.width, portrait.height, portrait.kind), (512, 512, "image/png"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_takes_memory() {
        for (width, height) in [(60_000, 60_000), (u32::MAX >> 1, 1), (10_000, 10_000)] {
            let Err(problem) = look(&claiming(width, height), "image/png", THUMBNAIL) else {
                panic!("{width}×{height}")
            };
            assert_ne!(problem.code, Code::Internal);
        }
        let Err(problem) = look(&claiming(9_000, 9_000), "image/png", THUMBNAIL) else { panic!("81 million") };
        assert_eq!(problem.code, Code::TooLarge);
    }

    #[test]
    fn what_only_begins_as_a_picture_is_refused() {
        for kind in ["image/png", "image/jpeg", "image/gif", "image/webp"] {
            let problem = look(&Bytes::from_static(b"\x89PNG\r\n\x1a\nnothing"), kind, THUMBNAIL).err().expect(kind);
            assert_eq!(problem.code, Code::UnsupportedMediaType, "{kind}");
        }
        assert!(look(&png(20, 20, true).slice(..60), "image/png", THUMBNAIL).is_err());
    }
}
