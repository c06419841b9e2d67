//! The header and the library behind it, as a C program meets them.

mod c;
mod header;
mod python;
mod resident;
mod support;
