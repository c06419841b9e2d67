//! What a person sees: tables and the page.

mod table;

pub use table::{Column, Table, columns, number};
