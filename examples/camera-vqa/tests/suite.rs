//! The page in a browser, and frames of a camera through the server: one binary, linked once.

mod browser;
mod example;
mod frames;
mod page;
mod shots;
mod soak;
