//! The page, which is part of the program.

use curt_serve::Asset;

/// A file of the page at its own path.
macro_rules! asset {
    ($path:literal, $type:literal) => {
        asset!($path, $path, $type)
    };
    ($path:literal, $file:literal, $type:literal) => {
        Asset {
            path: $path,
            content_type: $type,
            bytes: include_bytes!(concat!("../page", $file)),
        }
    };
}

/// What the page is made of.
pub const ASSETS: [Asset; 24] = [
    asset!("/", "/index.html", "text/html; charset=utf-8"),
    asset!("/style.css", "text/css; charset=utf-8"),
    asset!("/main.js", "text/javascript; charset=utf-8"),
    asset!("/answer.js", "text/javascript; charset=utf-8"),
    asset!("/client.js", "text/javascript; charset=utf-8"),
    asset!("/paths.js", "text/javascript; charset=utf-8"),
    asset!("/picture.js", "text/javascript; charset=utf-8"),
    asset!("/words.js", "text/javascript; charset=utf-8"),
    asset!("/icon.svg", "image/svg+xml"),
    asset!("/print.html", "text/html; charset=utf-8"),
    asset!("/print.css", "text/css; charset=utf-8"),
    asset!("/print.js", "text/javascript; charset=utf-8"),
    asset!("/sheets/sheet-1.jpg", "image/jpeg"),
    asset!("/sheets/sheet-2.jpg", "image/jpeg"),
    asset!("/sheets/sheet-3.jpg", "image/jpeg"),
    asset!("/sheets/sheet-4.jpg", "image/jpeg"),
    asset!("/sheets/sheet-5.jpg", "image/jpeg"),
    asset!("/sheets/sheet-6.jpg", "image/jpeg"),
    asset!("/sheets/flat-1.webp", "image/webp"),
    asset!("/sheets/flat-2.webp", "image/webp"),
    asset!("/sheets/flat-3.webp", "image/webp"),
    asset!("/sheets/flat-4.webp", "image/webp"),
    asset!("/sheets/flat-5.webp", "image/webp"),
    asset!("/sheets/flat-6.webp", "image/webp"),
];
