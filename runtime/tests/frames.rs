//! Camera frames: planes with strides and rotation.

use curt::vision::{Frame, FramePlanes, Image, ImageLimits, Plane, Rotation, YuvColour};

const WIDTH: usize = 5;
const HEIGHT: usize = 3;

/// Largest difference of a level from what f64 gives, rounded: the factors have 16 bits after the point.
const FIXED_POINT: f64 = 1.0;

fn upright(planes: FramePlanes<'_>, rotation: Rotation) -> (usize, usize, Vec<u8>) {
    let frame = Frame {
        width: WIDTH,
        height: HEIGHT,
        planes,
        rotation,
    };
    match frame.upright(&ImageLimits::default()).unwrap() {
        Image::Pixels {
            width,
            height,
            bytes,
            ..
        } => (width, height, bytes.to_vec()),
        _ => panic!("a frame is pixels"),
    }
}

/// A plane of `samples` bytes a pixel that says where each stands: byte `i` of pixel (x, y) is `base + 40 y + 5 x + i`, and
/// 0xEE wherever no pixel is. The last row ends with its last pixel.
fn plane(size: [usize; 2], samples: usize, strides: [usize; 2], base: usize) -> Vec<u8> {
    let ([width, height], [row, pixel]) = (size, strides);
    let mut bytes = vec![0xEE; (height - 1) * row + (width - 1) * pixel + samples];
    for y in 0..height {
        for x in 0..width {
            for i in 0..samples {
                bytes[y * row + x * pixel + i] = (base + 40 * y + 5 * x + i) as u8;
            }
        }
    }
    bytes
}

/// Where pixel (x, y) of the frame stands upright, by turning its coordinates once, twice and three times.
fn turned(x: usize, y: usize, rotation: Rotation) -> (usize, usize) {
    let quarters = match rotation {
        Rotation::None => 0,
        Rotation::Quarter => 1,
        Rotation::Half => 2,
        Rotation::ThreeQuarters => 3,
    };
    let (mut x, mut y, mut height, mut width) = (x, y, HEIGHT, WIDTH);
    for _ in 0..quarters {
        (x, y) = (height - 1 - y, x);
        (width, height) = (height, width);
    }
    assert!(x < width && y < height);
    (x, y)
}

#[test]
fn every_pixel_stands_where_its_rotation_puts_it_whatever_the_strides() {
    for degrees in [0, 90, 180, 270] {
        let rotation = Rotation::from_degrees(degrees).unwrap();
        for strides in [[15, 3], [16, 3], [33, 6]] {
            let bytes = plane([WIDTH, HEIGHT], 3, strides, 1);
            let [row_stride, pixel_stride] = strides;
            let rgb = Plane {
                bytes: &bytes,
                row_stride,
                pixel_stride,
            };
            let (width, height, got) = upright(FramePlanes::Rgb(rgb), rotation);
            assert_eq!(got.len(), 3 * WIDTH * HEIGHT);
            assert_eq!(width * height, WIDTH * HEIGHT);
            for y in 0..HEIGHT {
                for x in 0..WIDTH {
                    let (to_x, to_y) = turned(x, y, rotation);
                    let at = 3 * (to_y * width + to_x);
                    let first = (1 + 40 * y + 5 * x) as u8;
                    assert_eq!(got[at..at + 3], [first, first + 1, first + 2], "{degrees}");
                }
            }
        }
    }
    assert_eq!(Rotation::from_degrees(45), None);
}

#[test]
fn opaque_pixels_are_their_colours_and_transparent_ones_white() {
    let pixels = [[10, 20, 30, 255], [10, 20, 30, 0]].concat();
    let mut bytes = pixels.repeat(WIDTH * HEIGHT);
    bytes.truncate(4 * WIDTH * HEIGHT);
    let plane = Plane {
        bytes: &bytes,
        row_stride: 4 * WIDTH,
        pixel_stride: 4,
    };
    let (_, _, rgba) = upright(FramePlanes::Rgba(plane), Rotation::None);
    assert_eq!(rgba[..6], [10, 20, 30, 255, 255, 255]);
    let (_, _, bgra) = upright(FramePlanes::Bgra(plane), Rotation::None);
    assert_eq!(bgra[..6], [30, 20, 10, 255, 255, 255]);
}

/// Red, green and blue of brightness and chroma, by the definitions of BT.601 and BT.709.
fn by_definition(y: u8, u: u8, v: u8, colour: YuvColour) -> [f64; 3] {
    let (kr, kb) = match colour {
        YuvColour::Bt601Full | YuvColour::Bt601Video => (0.299, 0.114),
        YuvColour::Bt709Full | YuvColour::Bt709Video => (0.2126, 0.0722),
    };
    let [y, u, v] = [y, u, v].map(f64::from);
    let (y, u, v) = match colour {
        YuvColour::Bt601Full | YuvColour::Bt709Full => {
            (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0)
        }
        _ => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
    };
    let red = y + 2.0 * (1.0 - kr) * v;
    let blue = y + 2.0 * (1.0 - kb) * u;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|level| (255.0 * level).clamp(0.0, 255.0))
}

#[test]
fn yuv_is_what_its_definition_says_in_planes_apart_and_in_one_another() {
    let half = [WIDTH.div_ceil(2), HEIGHT.div_ceil(2)];
    for colour in [
        YuvColour::Bt601Full,
        YuvColour::Bt601Video,
        YuvColour::Bt709Full,
        YuvColour::Bt709Video,
    ] {
        // Apart (I420), and in one another (NV12): in the second, a sample of v follows each of u.
        for [row_stride, pixel_stride] in [[4, 1], [10, 2]] {
            let brightness = plane([WIDTH, HEIGHT], 1, [8, 1], 60);
            let u = plane(half, 1, [row_stride, pixel_stride], 90);
            let v = plane(half, 1, [row_stride, pixel_stride], 160);
            let chroma = |bytes| Plane {
                bytes,
                row_stride,
                pixel_stride,
            };
            let planes = FramePlanes::Yuv420 {
                y: Plane {
                    bytes: &brightness,
                    row_stride: 8,
                    pixel_stride: 1,
                },
                u: chroma(&u),
                v: chroma(&v),
                colour,
            };
            let (_, _, got) = upright(planes, Rotation::None);
            for row in 0..HEIGHT {
                for column in 0..WIDTH {
                    let y = (60 + 40 * row + 5 * column) as u8;
                    let [u, v] = [90, 160].map(|b| (b + 40 * (row / 2) + 5 * (column / 2)) as u8);
                    let expected = by_definition(y, u, v, colour);
                    let at = 3 * (row * WIDTH + column);
                    for (level, expected) in got[at..at + 3].iter().zip(expected) {
                        let off = (f64::from(*level) - expected.round()).abs();
                        assert!(off <= FIXED_POINT, "{level} for {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn planes_that_do_not_hold_their_pixels_are_refused_by_name() {
    let bytes = vec![0; 64];
    let good = Plane {
        bytes: &bytes,
        row_stride: 8,
        pixel_stride: 1,
    };
    let refused = |width, height, planes| {
        let frame = Frame {
            width,
            height,
            planes,
            rotation: Rotation::None,
        };
        let limits = ImageLimits { max_pixels: 1000 };
        frame.upright(&limits).err().map(|e| e.to_string())
    };
    let yuv = |y, u, v| FramePlanes::Yuv420 {
        y,
        u,
        v,
        colour: YuvColour::default(),
    };
    assert_eq!(refused(8, 8, yuv(good, good, good)), None);
    let short = Plane {
        bytes: &bytes[..63],
        ..good
    };
    let message = refused(8, 8, yuv(short, good, good)).unwrap();
    assert!(message.contains("64 bytes in plane y, got 63"), "{message}");
    let short = Plane {
        bytes: &bytes[..27],
        ..good
    };
    let message = refused(8, 8, yuv(good, good, short)).unwrap();
    assert!(message.contains("28 bytes in plane v, got 27"), "{message}");
    let narrow = Plane {
        row_stride: 3,
        ..good
    };
    let message = refused(8, 8, yuv(good, narrow, good)).unwrap();
    assert!(message.contains("row stride of at least 4"), "{message}");
    let still = Plane {
        pixel_stride: 0,
        ..good
    };
    assert!(refused(8, 8, yuv(good, good, still)).is_some());
    for (width, height) in [(0, 8), (8, 0), (usize::MAX, 2), (1001, 1)] {
        assert!(refused(width, height, yuv(good, good, good)).is_some());
    }
    let endless = Plane {
        row_stride: usize::MAX,
        ..good
    };
    assert!(refused(8, 8, FramePlanes::Rgb(endless)).is_some());
}
